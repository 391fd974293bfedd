package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"evio/integration/bench/lab"
)

// row is a kind of figure.
type row struct{ name, unit string }

// measure is one measurement. It gives the rows, is about the systems, and has so many rounds in a full run.
type measure struct {
	rows    []row
	systems []string
	rounds  int
	// run returns a value for each row that the system has. It has the system's pair to itself.
	run func(ctx context.Context, b *bench, r *running) ([]value, error)
}

type value struct {
	row   string
	value float64
}

func one(row string, v float64) []value { return []value{{row, v}} }

var (
	everything = []string{"evio-tap", "evio-container", "evio-turn", reference, "nebula", "datachannel", "veth", "docker-bridge"}
	tunnels    = everything[:6]
	fast       = []string{"evio-tap", "evio-container", reference, "nebula"}
	evioOnly   = []string{"evio-tap", "evio-container", reference}
)

// measures are in the order in which they run. The seconds of TCP, b.seconds, are 5 in a full run.
var measures = []measure{
	{
		// From the start of a tunnel's programs to the first answer to a ping through it.
		rows: []row{{"setup_ms", "ms"}}, systems: tunnels, rounds: 5,
		run: func(ctx context.Context, b *bench, r *running) ([]value, error) {
			took, err := b.again(ctx, r)
			return one("setup_ms", float64(took.Microseconds())/1000), err
		},
	},
	{
		// Payload bytes of one connection that arrived. GB and MB are 1e9 and 1e6 of them.
		rows:    []row{{"tcp1", "Mb/s"}, {"cpu_s_per_gb", "s/GB"}, {"syscalls_per_mb", "calls/MB"}},
		systems: everything, rounds: 7, run: tcp1,
	},
	{
		rows: []row{{"tcp8", "Mb/s"}}, systems: fast, rounds: 5,
		run: func(ctx context.Context, b *bench, r *running) ([]value, error) {
			s, err := r.tcp(ctx, b.seconds, 8, b.idle)
			return one("tcp8", s.rate/1e6), err
		},
	},
	{
		// IP packets of 1400 bytes: no tunnel here has to cut them. The rate of the rung.
		rows: []row{{"udp1400", "Mb/s"}}, systems: fast, rounds: 5,
		run: func(ctx context.Context, _ *bench, r *running) ([]value, error) {
			const packet = 1400
			rate, err := r.climb(ctx, ladder{size: packet - 28, lowest: 10_000})
			return one("udp1400", rate*packet*8/1e6), err
		},
	},
	{
		// Datagrams of 64 bytes. The rate of the rung.
		rows: []row{{"pps64", "packets/s"}}, systems: fast, rounds: 5,
		run: func(ctx context.Context, _ *bench, r *running) ([]value, error) {
			rate, err := r.climb(ctx, ladder{size: 64, lowest: 10_000})
			return one("pps64", rate), err
		},
	},
	{
		rows: []row{{"rtt_p50", "ms"}}, systems: everything, rounds: 5,
		run: func(ctx context.Context, _ *bench, r *running) ([]value, error) {
			trips, err := r.pings(ctx, 300)
			if err != nil {
				return nil, err
			}
			return one("rtt_p50", percentile(trips, 0.5)), nil
		},
	},
	{
		rows: []row{{"rtt_p99_load", "ms"}}, systems: evioOnly, rounds: 5,
		run: func(ctx context.Context, _ *bench, r *running) ([]value, error) {
			trips, err := r.pingsBesideTCP(ctx)
			if err != nil {
				return nil, err
			}
			return one("rtt_p99_load", percentile(trips, 0.99)), nil
		},
	},
	lossMeasure("tcp1_loss0.1", 0.001),
	lossMeasure("tcp1_loss1", 0.01),
	{
		rows: []row{{"mem_per_tunnel", "kB"}}, systems: []string{"evio-container"}, rounds: 1,
		run: func(ctx context.Context, _ *bench, r *running) ([]value, error) {
			m, ok := r.system.(lab.Memory)
			if !ok {
				return nil, fmt.Errorf("%s does not say what a tunnel costs", r.name)
			}
			bytes, err := m.MemoryPerTunnel(ctx)
			return one("mem_per_tunnel", bytes/1000), err
		},
	},
}

func tcp1(ctx context.Context, b *bench, r *running) ([]value, error) {
	s, err := r.tcp(ctx, b.seconds, 1, b.idle)
	if err != nil {
		return nil, err
	}
	values := []value{{"tcp1", s.rate / 1e6}, {"cpu_s_per_gb", s.busy / (s.bytes / 1e9)}}
	if s.counted {
		values = append(values, value{"syscalls_per_mb", float64(max(s.a, s.b)) / (s.bytes / 1e6)})
	}
	return values, nil
}

func lossMeasure(name string, share float64) measure {
	return measure{
		rows: []row{{name, "Mb/s"}}, systems: evioOnly, rounds: 5,
		run: func(ctx context.Context, b *bench, r *running) (_ []value, err error) {
			l, err := lose(ctx, r.pair, share)
			if err != nil {
				return nil, err
			}
			defer func() { err = errors.Join(err, l.end(context.WithoutCancel(ctx))) }()
			s, err := r.tcp(ctx, b.seconds, 1, b.idle)
			if err != nil {
				return nil, err
			}
			all, dropped, err := l.counts(ctx)
			if err != nil {
				return nil, err
			}
			return one(name, s.rate/1e6), r.lost(share, all, dropped)
		},
	}
}

// named says whether a measure gives one of the rows, or any if none is named.
func (m *measure) named(rows []string) bool {
	return len(rows) == 0 || slices.ContainsFunc(m.rows, func(r row) bool { return slices.Contains(rows, r.name) })
}
