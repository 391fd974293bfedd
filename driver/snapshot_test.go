package driver_test

import (
	"context"
	"testing"

	"evio/driver/drivertest"
	"evio/driver/status"
)

// states returns the states of the endpoints of the one network.
func (r *rig) states() map[string]string {
	r.t.Helper()
	nets := r.driver.Networks()
	if len(nets) != 1 {
		r.t.Fatalf("%d networks", len(nets))
	}
	out := map[string]string{}
	for _, e := range nets[0].Endpoints {
		out[e.ID] = e.State
	}
	return out
}

// TestStatesOfEndpoints: created, changing while a call is under way, attached; detached
// where the container's interface was not found again.
func TestStatesOfEndpoints(t *testing.T) {
	r := newRig(t)
	inJoin := make(chan string, 2) // before and after the work is done
	r.plane.Hook = func(_ context.Context, c drivertest.Call) error {
		if c.Op == "AddEndpoint" {
			inJoin <- r.states()[ep1]
		}
		return nil
	}
	r.start()
	r.ok("CreateNetwork", createNetwork(net1, "evio.overlay=t1"))
	want := func(when, id, state string) {
		t.Helper()
		if got := r.states()[id]; got != state {
			t.Errorf("%s: %s, want %s", when, got, state)
		}
	}
	r.ok("CreateEndpoint", createEndpoint(net1, ep1, "10.9.0.2/24", ""))
	want("created", ep1, status.EndpointCreated)
	r.ok("Join", join(net1, ep1))
	for range 2 {
		if got := <-inJoin; got != status.EndpointChanging {
			t.Errorf("within Join: %s", got)
		}
	}
	want("joined", ep1, status.EndpointAttached)
	r.links = func(string) bool { return false }
	r.restart()
	eventually(t, "restored", func() bool { _, ok := r.plane.Network(net1); return ok })
	eventually(t, "looked at", func() bool { return r.states()[ep1] == status.EndpointDetached })
}
