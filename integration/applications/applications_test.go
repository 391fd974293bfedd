//go:build e2e

package applications

import (
	"slices"
	"testing"

	"evio/integration/scenario"
)

// TestApplications is a table of what real programs send. Each row goes over a bridge network of
// Docker's, over evio at one site and over evio between two sites, all of one MTU: what comes of
// it must be the same.
func TestApplications(t *testing.T) {
	d := scenario.StartFederation(t)
	s := newApplications(t, d)
	for _, row := range slices.Concat(datagramRows(), streamRows(), frameRows(), tunnelRows()) {
		t.Run(row.name, func(t *testing.T) { s.compare(t, row) })
	}
	t.Run("throughput", func(t *testing.T) { testThroughput(t, s) })
	t.Run("offload switched on again", func(t *testing.T) { testUnknownOffload(t, s) })
	t.Run("multicast", func(t *testing.T) { testMulticast(t, d) })
}

// TestTally: the comparison finds what is lost, merged or made up.
func TestTally(t *testing.T) {
	for _, c := range []struct {
		name      string
		want, got tally
		exception []string
		faults    int
	}{
		{"the same", tally{"1200 bytes": 200}, tally{"1200 bytes": 200}, nil, 0},
		{"one in a hundred is lost", tally{"1200 bytes": 200}, tally{"1200 bytes": 198}, nil, 0},
		{"more is lost", tally{"1200 bytes": 200}, tally{"1200 bytes": 197}, nil, 1},
		{"one of few is lost", tally{"1200 bytes": 20}, tally{"1200 bytes": 19}, nil, 1},
		{"merged", tally{"500 bytes": 40}, tally{"1000 bytes": 20}, nil, 2},
		{"an exception", tally{"a": 5, "b": 5}, tally{"a": 5}, []string{"b"}, 0},
		{"an exception that came", tally{"b": 5}, tally{"b": 1}, []string{"b"}, 1},
	} {
		if got := c.got.faults(c.want, c.exception); len(got) != c.faults {
			t.Errorf("%s: %q", c.name, got)
		}
	}
}
