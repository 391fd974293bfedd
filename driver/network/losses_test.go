package network

import (
	"testing"

	"evio/datapath/tap"
)

// counter is a TAP with a name and counters, and nothing else.
type counter struct {
	tap.Device
	name     string
	stats    tap.Stats
	offloads tap.Offloads
}

func (c *counter) Name() string           { return c.name }
func (c *counter) Stats() tap.Stats       { return c.stats }
func (c *counter) Offloads() tap.Offloads { return c.offloads }

// TestLossesStay: devices come, begin anew and go, and the sums only grow.
func TestLossesStay(t *testing.T) {
	var l losses
	link := &counter{name: "evl1", stats: tap.Stats{BadLength: 2, Refused: 1, BadOffload: 5}}
	check := func(what string, length, refused, queue, containers uint64) {
		t.Helper()
		if l.length != length || l.refused != refused || l.queue != queue || l.containers != containers {
			t.Errorf("%s: length %d, refused %d, queue %d, containers %d; want %d, %d, %d, %d",
				what, l.length, l.refused, l.queue, l.containers, length, refused, queue, containers)
		}
	}
	l.take(map[string]uint64{"evl1": 5, "evh1": 100, "eth0": 9}, []tap.Device{link}, []string{"evh1"})
	check("the first look", 2, 1, 5, 0) // what a container counted before is not ours
	l.take(map[string]uint64{"evl1": 5, "evh1": 103}, []tap.Device{link}, []string{"evh1"})
	check("a container's interface", 2, 1, 5, 3)
	link.stats = tap.Stats{BadLength: 1}
	l.take(map[string]uint64{"evl1": 4, "evh1": 103}, []tap.Device{link}, []string{"evh1"})
	check("a TAP that was made anew", 3, 1, 9, 3)
	if l.offload != 5 {
		t.Errorf("%d that could not be cut", l.offload)
	}
	l.take(map[string]uint64{}, nil, nil)
	check("all are gone", 3, 1, 9, 3)
	l.take(map[string]uint64{"evl1": 1, "evh1": 7}, []tap.Device{link}, []string{"evh1"})
	check("others of the same names", 4, 1, 10, 3)
}
