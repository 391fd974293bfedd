//go:build e2e

package applications

import (
	"slices"
	"strings"
	"testing"

	"evio/driver/status"
	"evio/integration/scenario"
)

// TestApplications is a table of what real programs send. Each row goes over a bridge network of
// Docker's, over evio at one site and over evio between two sites, all of one MTU: what comes of
// it must be the same. Between two sites they go again with offloads off (passes).
func TestApplications(t *testing.T) {
	d := scenario.StartFederation(t)
	s := newApplications(t, d)
	for i, off := range passes(t) {
		name, ways, streams := "all offloads on", s.evio, multicastStreams
		if i > 0 {
			name, ways, streams = strings.Join(off, ", ")+" off", s.evio[1:], multicastStreams[:1]
		}
		t.Run(name, func(t *testing.T) { s.pass(t, off, ways, streams) })
		if i == 0 {
			t.Run("throughput", func(t *testing.T) { testThroughput(t, s) })
			t.Run("offload switched on again", func(t *testing.T) { testUnknownOffload(t, s) })
		}
	}
}

// pass runs all rows over some ways, with some offloads off.
func (s *applications) pass(t *testing.T, off []string, ways []way, streams []multicastStream) {
	if off != nil {
		s.switchOff(t, off)
	}
	s.offloadsAre(t, off)
	s.rates = map[string]float64{}
	for _, row := range slices.Concat(datagramRows(), streamRows(), frameRows(), tunnelRows()) {
		t.Run(row.name, func(t *testing.T) { s.compare(t, row, ways) })
	}
	s.offloadsServed(t, off)
	t.Run("multicast", func(t *testing.T) { testMulticast(t, s.d, streams) })
}

// TestOffloadFaults: what is on and should not be is found, and the other way round.
func TestOffloadFaults(t *testing.T) {
	var d status.Document
	d.Transport.Offload = status.TransportOffload{UDPSend: status.Offload{On: true}, UDPReceive: status.Offload{Reason: "switched off by configuration"}, Merge: status.Offload{On: true}}
	d.Networks = []status.Network{{Overlay: "blue", TAPs: []status.TAP{{Device: "fabric"}, {Device: "link", Node: "11", Offload: status.TAPOffload{Checksums: true, TCP: true}}}}}
	for _, c := range []struct {
		overlay string
		off     []string
		faults  int
	}{
		{"blue", []string{"udp_receive"}, 0},
		{"blue", nil, 1},
		{"blue", []string{"udp_receive", "tap"}, 2},
		{"blue", []string{"udp_receive", "udp_send", "merge"}, 2},
		{"red", []string{"udp_receive"}, 1},
	} {
		if got := offloadFaults(d, c.overlay, c.off); len(got) != c.faults {
			t.Errorf("overlay %s, %v off: %q", c.overlay, c.off, got)
		}
	}
	d.Transport.Offload.UDPReceive.Reason = "the kernel does not know it"
	if got := offloadFaults(d, "blue", []string{"udp_receive"}); len(got) != 1 {
		t.Errorf("off for another reason: %q", got)
	}
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
