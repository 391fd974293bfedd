package driver_test

import (
	"context"
	"fmt"
	"net/netip"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"evio/driver/drivertest"
)

func rangesOf(r *rig) string {
	spec, _ := r.plane.Network(net1)
	return fmt.Sprint(spec.Ranges)
}

// Also where an option names the overlay; and after a restart without a question.
func TestRangesAreLearntOnce(t *testing.T) {
	for name, options := range map[string][]string{"named": {"evio.overlay=blue"}, "default name": nil} {
		t.Run(name, func(t *testing.T) {
			var puts atomic.Int32
			r := newRig(t)
			r.store = &drivertest.Store{Hook: func(op, kind, _ string) error {
				if op == "Put" && kind == "network" {
					puts.Add(1)
				}
				return nil
			}}
			r.start()
			r.ok("CreateNetwork", createNetwork(net1, options...))
			if got := rangesOf(r); got != "[]" {
				t.Errorf("ranges %s before Docker has told them", got)
			}
			r.engine.Range(net1, netip.MustParsePrefix("10.9.0.64/26"))
			r.engine.Name(net1, "blue")
			eventually(t, "ranges known", func() bool { return rangesOf(r) == "[10.9.0.64/26]" })
			eventually(t, "network, name and ranges stored", func() bool { return puts.Load() == 3 })
			r.engine = &drivertest.Engine{}
			r.restart()
			eventually(t, "ranges known after a restart", func() bool { return rangesOf(r) == "[10.9.0.64/26]" })
			r.ok("CreateNetwork", createNetwork(net1, options...)) // the same request again
		})
	}
}

// The plane and the store fail a few times.
func TestRangesAreLearntInTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var puts, sets atomic.Int32
		r := newRig(t)
		r.store = &drivertest.Store{Hook: func(op, kind, _ string) error {
			if op == "Put" && kind == "network" && puts.Add(1) == 3 {
				return errInjected
			}
			return nil
		}}
		r.plane.Hook = func(_ context.Context, c drivertest.Call) error {
			if c.Op == "SetRanges" && !c.Done && sets.Add(1) < 3 {
				return errSwitch
			}
			return nil
		}
		r.engine.Name(net1, "blue")
		r.engine.Range(net1, netip.MustParsePrefix("10.9.0.0/24"))
		d := r.prepare()
		d.Start(t.Context())
		create(t, d, net1)
		<-time.After(5 * time.Minute)
		if got := rangesOf(r); got != "[10.9.0.0/24]" || sets.Load() != 4 {
			t.Errorf("ranges %s after the plane was told %d times", got, sets.Load())
		}
		if err := d.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// An address that another engine is known to have is refused before anything is kept,
// and Docker, which never joins then, owes nothing.
func TestCreateEndpointAsksThePlane(t *testing.T) {
	const sentence = "address 10.9.0.2 belongs to site-b@example.org at site b: choose another one"
	var taken atomic.Bool
	r := newRig(t)
	r.plane.Hook = func(_ context.Context, c drivertest.Call) error {
		if c.Op == "CheckEndpoint" && !c.Done && taken.Load() {
			return fmt.Errorf("%s", sentence)
		}
		return nil
	}
	r.start()
	r.ok("CreateNetwork", createNetwork(net1, "evio.overlay=blue"))
	taken.Store(true)
	r.refusedWith("CreateEndpoint", createEndpoint(net1, ep1, "10.9.0.2/24", ""), sentence)
	r.wantSizes(1, 0, 1)
	taken.Store(false)
	r.ok("CreateEndpoint", createEndpoint(net1, ep1, "10.9.0.2/24", ""))
	if _, joined := r.plane.Endpoint(net1, ep1); joined {
		t.Error("the plane has an endpoint that nobody joined")
	}
	r.ok("DeleteEndpoint", ids(net1, ep1))
	r.wantSizes(1, 0, 1)
}
