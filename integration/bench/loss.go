package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"evio/integration/bench/lab"
)

// loss makes a share of the datagrams on a pair's cable vanish, in both directions.
type loss struct {
	pair  *lab.Pair
	share float64
}

const (
	lossPassed  = "bench-all"
	lossDropped = "bench-dropped"
	// lossRoom is by how much the rule's own count may differ from what it should drop. What chance
	// does to a small number is allowed as well: four standard deviations.
	lossRoom = 0.1
)

// lose begins. A burst that the kernel has not cut yet would count as one packet, so the cable's ends
// send every packet by itself.
func lose(ctx context.Context, p *lab.Pair, share float64) (*loss, error) {
	l := &loss{p, share}
	for _, m := range []*lab.Machine{p.A, p.B} {
		for _, args := range [][]string{
			l.offloads(m, "off"),
			{"iptables", "-t", "raw", "-A", "PREROUTING", "-i", m.Device, "-p", "udp", "-m", "comment", "--comment", lossPassed},
			{
				"iptables", "-t", "raw", "-A", "PREROUTING", "-i", m.Device, "-p", "udp", "-m", "statistic", "--mode", "random",
				"--probability", strconv.FormatFloat(share, 'f', -1, 64), "-m", "comment", "--comment", lossDropped, "-j", "DROP",
			},
		} {
			if _, err := m.Run(ctx, args...); err != nil {
				return nil, errors.Join(err, l.end(ctx))
			}
		}
	}
	return l, nil
}

func (l *loss) offloads(m *lab.Machine, to string) []string {
	return []string{"ethtool", "-K", m.Device, "tso", to, "gso", to, "tx-udp-segmentation", to}
}

// counts returns how many datagrams came, and how many of them the rules dropped, at both ends.
func (l *loss) counts(ctx context.Context) (all, dropped uint64, err error) {
	for _, m := range []*lab.Machine{l.pair.A, l.pair.B} {
		table, err := m.Run(ctx, "iptables", "-t", "raw", "-v", "-x", "-n", "-L", "PREROUTING")
		if err != nil {
			return 0, 0, err
		}
		for comment, sum := range map[string]*uint64{lossPassed: &all, lossDropped: &dropped} {
			n, err := ruleCount(table, comment)
			if err != nil {
				return 0, 0, err
			}
			*sum += n
		}
	}
	return all, dropped, nil
}

// ruleCount finds the packets of the rule with the comment in what iptables -v -x -L prints.
func ruleCount(table, comment string) (uint64, error) {
	for line := range strings.Lines(table) {
		if fields := strings.Fields(line); strings.Contains(line, "/* "+comment+" */") && len(fields) > 0 {
			return strconv.ParseUint(fields[0], 10, 64)
		}
	}
	return 0, fmt.Errorf("iptables has no rule %s", comment)
}

// end lets all pass again.
func (l *loss) end(ctx context.Context) error {
	var errs []error
	for _, m := range []*lab.Machine{l.pair.A, l.pair.B} {
		_, flush := m.Run(ctx, "iptables", "-t", "raw", "-F", "PREROUTING")
		_, on := m.Run(ctx, l.offloads(m, "on")...)
		errs = append(errs, flush, on)
	}
	return errors.Join(errs...)
}

// lossCount adds up what the rules of a row counted for one system.
type lossCount struct{ all, dropped uint64 }

// holds says whether the rules dropped what they should have.
func (c lossCount) holds(share float64) error {
	want := share * float64(c.all)
	if math.Abs(float64(c.dropped)-want) > max(lossRoom*want, 4*math.Sqrt(want)) {
		return fmt.Errorf("%d of %d datagrams were dropped, and not %.0f", c.dropped, c.all, want)
	}
	return nil
}
