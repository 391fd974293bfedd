package network

import (
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"evio/datapath/netdev"
	"evio/datapath/ovs"
)

// Only what is marked as this engine's goes, and only if nothing owns it.
func TestOrphans(t *testing.T) {
	const e = "engine"
	o := &ownership{
		engine:  e,
		wanted:  map[string]map[string]bool{"runs": {"joined": true, "created": true}, "waits": {"there": true}},
		running: map[string]map[string]bool{"runs": {"evb1": true, "evf1": true, "evl1": true, "evh1": true}, "direct": {"evf3": true}},
	}
	bridges := []ovs.Owned{
		{Name: "evb1", Network: "runs", Engine: e},
		{Name: "evb2", Network: "waits", Engine: e},
		{Name: "evb3", Network: "direct", Engine: e},
		{Name: "evb-gone", Network: "gone", Engine: e},
		{Name: "evb5", Network: "gone", Engine: "another"},
		{Name: deviceName(bridgePrefix, e, "old"), Network: "old"},
		{Name: deviceName(bridgePrefix, e, "waits"), Network: "waits"},
		{Name: deviceName(bridgePrefix, "another", "old"), Network: "old"},
	}
	devices := map[string]netdev.Device{}
	add := func(name, mark string) {
		devices[name] = netdev.Device{Name: name, Index: len(devices) + 1, Mark: mark}
	}
	add("evf1", deviceMark(e, "runs"))
	add("evl1", deviceMark(e, "runs", markPeer, "p"))
	add("evh1", deviceMark(e, "runs", markEndpoint, "joined"))
	add("evh2", deviceMark(e, "runs", markEndpoint, "created"))
	add("evf2", deviceMark(e, "waits"))
	add("evl2", deviceMark(e, "waits", markPeer, "p"))
	add("evh3", deviceMark(e, "waits", markEndpoint, "there"))
	add("evf3", deviceMark(e, "direct"))
	add("evb-gone", deviceMark(e, "gone")) // goes with its bridge
	add("gone-bridge", deviceMark(e, "gone"))
	add("evb1", deviceMark(e, "runs"))
	add("lo", "")
	add("evh4", "")
	add("evh5", deviceMark("another", "gone", markEndpoint, "x"))
	add("gone-fabric", deviceMark(e, "gone"))
	add("gone-link", deviceMark(e, "runs", markPeer, "left"))
	add("gone-veth", deviceMark(e, "runs", markEndpoint, "deleted"))
	add("gone-too", deviceMark(e, "gone", markEndpoint, "joined"))

	var got []string
	for _, t := range slices.Collect(maps.Keys(o.orphans(bridges, devices))) {
		got = append(got, t.name)
		if t.index != 0 && t.index != devices[t.name].Index {
			got = append(got, "with another number")
		}
	}
	slices.Sort(got)
	want := []string{"evb-gone", deviceName(bridgePrefix, e, "old"), "gone-bridge", "gone-fabric", "gone-link", "gone-too", "gone-veth"}
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
