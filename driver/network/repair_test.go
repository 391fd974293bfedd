package network

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"evio/datapath/ovs"
)

// A repair is counted once, when the bridge is as it should be again; a container's
// interface that is gone is no repair, nor is a device that this process has replaced.
func TestRepairsAreCountedOnce(t *testing.T) {
	n := bare(t)
	n.switched = newApplier(quiet(), func(context.Context) error { return nil }) // nobody runs it
	n.drift([]ovs.Drift{{Kind: ovs.DriftPort}, {Kind: ovs.DriftMissing, Port: "evh1"}, {Kind: ovs.DriftPort}})
	n.portAgain("evf0", true)
	n.portAgain("evl1", false)
	if len(n.switched.wake) != 1 {
		t.Error("nobody is asked to put it right")
	}
	want := map[string]uint64{}
	for _, step := range []struct {
		err  error
		more map[string]uint64
	}{
		{err: errors.New("ovs-vswitchd does not answer")},
		{err: &ovs.PortsError{}, more: map[string]uint64{"port": 2, "device": 1}},
		{},
	} {
		n.repaired(n.repairs.take(), step.err)
		for kind, count := range step.more {
			want[kind] += count
		}
		got := n.repairs.counts()
		if len(want) == 0 && len(got) == 0 {
			continue
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("after %v: %s", step.err, diff)
		}
	}
}
