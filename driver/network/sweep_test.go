package network

import (
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"evio/datapath/netdev"
	"evio/datapath/ovs"
	"evio/driver/network/device"
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
		{Name: device.Name(device.BridgePrefix, e, "old"), Network: "old"},
		{Name: device.Name(device.BridgePrefix, e, "waits"), Network: "waits"},
		{Name: device.Name(device.BridgePrefix, "another", "old"), Network: "old"},
	}
	devices := map[string]netdev.Device{}
	add := func(name, mark string) {
		devices[name] = netdev.Device{Name: name, Index: len(devices) + 1, Mark: mark}
	}
	add("evf1", device.Mark(e, "runs"))
	add("evl1", device.Mark(e, "runs", device.ForPeer, "p"))
	add("evh1", device.Mark(e, "runs", device.ForEndpoint, "joined"))
	add("evh2", device.Mark(e, "runs", device.ForEndpoint, "created"))
	add("evf2", device.Mark(e, "waits"))
	add("evl2", device.Mark(e, "waits", device.ForPeer, "p"))
	add("evh3", device.Mark(e, "waits", device.ForEndpoint, "there"))
	add("evf3", device.Mark(e, "direct"))
	add("evb-gone", device.Mark(e, "gone")) // goes with its bridge
	add("gone-bridge", device.Mark(e, "gone"))
	add("evb1", device.Mark(e, "runs"))
	add("lo", "")
	add("evh4", "")
	add("evh5", device.Mark("another", "gone", device.ForEndpoint, "x"))
	add("gone-fabric", device.Mark(e, "gone"))
	add("gone-link", device.Mark(e, "runs", device.ForPeer, "left"))
	add("gone-veth", device.Mark(e, "runs", device.ForEndpoint, "deleted"))
	add("gone-too", device.Mark(e, "gone", device.ForEndpoint, "joined"))

	var got []string
	for _, t := range slices.Collect(maps.Keys(o.orphans(bridges, devices))) {
		got = append(got, t.name)
		if t.index != 0 && t.index != devices[t.name].Index {
			got = append(got, "with another number")
		}
	}
	slices.Sort(got)
	want := []string{"evb-gone", device.Name(device.BridgePrefix, e, "old"), "gone-bridge", "gone-fabric", "gone-link", "gone-too", "gone-veth"}
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
