package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"evio/integration/bench/lab"
)

// mostSetup is how long a system may take from nothing to the first answer.
const mostSetup = 90 * time.Second

// bench is one run. Everything is measured in turn, never two at once.
type bench struct {
	options
	out     io.Writer
	systems []*running
	idle    load // while nothing is measured, seen last
	failed  []error
}

// inside runs in the root that inroot.sh makes.
func (b *bench) inside(ctx context.Context) error {
	if err := b.start(ctx); err != nil {
		return err
	}
	var figures []figure
	for i := range measures {
		m := &measures[i]
		if !m.named(b.rows) || ctx.Err() != nil {
			continue
		}
		figures = append(figures, b.measure(ctx, m)...)
		if err := writeFigures(b.file, figures); err != nil {
			return err
		}
	}
	for _, r := range b.systems {
		b.failedIf(r.name, "down", r.down(context.WithoutCancel(ctx)))
	}
	return errors.Join(append([]error{b.print(figures), ctx.Err()}, b.failed...)...)
}

// start brings all systems up. One that does not come is left out, and the run fails in the end.
func (b *bench) start(ctx context.Context) error {
	b.say("socket buffers of senders, receivers and tunnels: %d bytes asked for in each direction", lab.SocketBuffer)
	for _, name := range b.names {
		create, ok := systems[name]
		if !ok {
			return fmt.Errorf("there is no system %q", name)
		}
		r := &running{name: name, system: create(), rungs: map[ladder]int{}, losses: map[float64]lossCount{}}
		took, err := b.bring(ctx, r)
		if b.failedIf(name, "up", err) {
			continue
		}
		b.say("%s is up, first answer after %.0f ms, MTU %d", name, float64(took.Microseconds())/1000, r.ends.MTU)
		b.systems = append(b.systems, r)
	}
	return nil
}

func (b *bench) bring(ctx context.Context, r *running) (_ time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, mostSetup)
	defer cancel()
	if r.pair, err = lab.NewPair(ctx, r.name, b.dir, b.bin); err != nil {
		return 0, err
	}
	if err := r.system.Prepare(ctx, r.pair); err != nil {
		return 0, err
	}
	return r.up(ctx)
}

// measure runs its rounds. In each, every system has its turn, in an order that turns with the rounds,
// so that what else the machine does hits all.
func (b *bench) measure(ctx context.Context, m *measure) []figure {
	var those []*running
	for _, r := range b.systems {
		if slices.Contains(m.systems, r.name) {
			those = append(those, r)
		}
	}
	values := map[string]samples{}
	rounds := m.rounds
	if b.runs > 0 && rounds > 1 {
		rounds = b.runs
	}
	for round := range rounds {
		var err error
		if b.idle, err = idleLoad(ctx); b.failedIf("machine", "idle", err) {
			return nil
		}
		var line strings.Builder
		fmt.Fprintf(&line, "%s %d of %d, idle load %.2f, of others %.2f:", m.rows[0].name, round+1, rounds, b.idle.own, b.idle.all-b.idle.own)
		for i := range those {
			r := those[(i+round)%len(those)]
			got, err := m.run(ctx, b, r)
			if b.failedIf(r.name, m.rows[0].name, err) {
				continue
			}
			for _, v := range got {
				if values[v.row] == nil {
					values[v.row] = samples{}
				}
				values[v.row].add(r.name, round, v.value)
				fmt.Fprintf(&line, "  %s %.4g", r.name, v.value)
			}
		}
		b.say("%s", line.String())
	}
	var figures []figure
	for _, row := range m.rows {
		figures = append(figures, values[row.name].figures(row.name, row.unit, reference, everything)...)
	}
	return figures
}

// failedIf keeps an error for the end and returns whether there was one.
func (b *bench) failedIf(system, what string, err error) bool {
	if err == nil {
		return false
	}
	err = fmt.Errorf("%s: %s: %w", system, what, err)
	b.say("FAILED: %v", err)
	b.failed = append(b.failed, err)
	return true
}

func (b *bench) say(format string, args ...any) {
	_, _ = fmt.Fprintf(b.out, format+"\n", args...) // without a reader the run goes on
}

// print writes the table of all figures.
func (b *bench) print(figures []figure) error {
	w := tabwriter.NewWriter(b.out, 0, 0, 2, ' ', 0)
	lines := []string{"row\tsystem\tmedian\tunit\truns\t× " + reference}
	for _, f := range figures {
		compared := ""
		if r := f.RatioTo; r != nil {
			compared = fmt.Sprintf("%.2f (%.2f–%.2f)", r.Median, r.Low, r.High)
		}
		lines = append(lines, fmt.Sprintf("%s\t%s\t%.4g\t%s\t%d\t%s", f.Row, f.System, f.Median, f.Unit, f.Runs, compared))
	}
	if _, err := io.WriteString(w, strings.Join(lines, "\n")+"\n"); err != nil {
		return err
	}
	return w.Flush()
}
