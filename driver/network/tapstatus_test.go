package network

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"evio/datapath/tap"
	"evio/driver/status"
	"evio/overlay/nodeid"
)

// TestTAPs: the fabric port and every link are listed, with what they have counted.
func TestTAPs(t *testing.T) {
	peer := nodeid.ID{1}
	n := &network{
		fabric: &counter{name: "evf1", stats: tap.Stats{Reads: 1, Writes: 2, ReadFrames: 3, ReadBytes: 4, WrittenFrames: 5, WrittenBytes: 6, ReadSegments: 9, WrittenSegments: 10}},
		links: links{by: map[nodeid.ID]*link{
			peer: {dev: &counter{name: "evl2", stats: tap.Stats{Reads: 7}, offloads: tap.Offloads{Checksums: true, TCP: true, Why: "the kernel is old"}}},
			{2}:  {dev: &counter{name: "evl1", stats: tap.Stats{Writes: 8}}},
		}},
	}
	want := []status.TAP{
		{Device: "evf1", Reads: 1, Writes: 2, ReadFrames: 3, ReadBytes: 4, WrittenFrames: 5, WrittenBytes: 6, ReadSegments: 9, WrittenSegments: 10},
		{Device: "evl1", Node: nodeid.ID{2}.String(), Writes: 8},
		{Device: "evl2", Node: peer.String(), Reads: 7, Offload: status.TAPOffload{Checksums: true, TCP: true, Reason: "the kernel is old"}},
	}
	if diff := cmp.Diff(want, n.taps()); diff != "" {
		t.Error(diff)
	}
}
