package driver_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	docker "github.com/docker/go-plugins-helpers/network"

	"evio/driver"
)

// TestCollectBesideCalls: while looks follow each other as fast as they can, nothing
// that the engine lists is lost, whatever Docker calls, and what it has dropped
// without a call goes.
func TestCollectBesideCalls(t *testing.T) {
	r := newRig(t)
	r.apart = time.Nanosecond
	r.start()
	d := r.driver
	r.engine.Name("always", "always")
	create(t, d, "always")

	ctx, cancel := context.WithCancel(t.Context())
	var looks, work sync.WaitGroup
	looks.Go(func() {
		for ctx.Err() == nil {
			if _, _, err := post(ctx, r.client, "NetworkDriver.GetCapabilities", nil); err != nil && ctx.Err() == nil {
				t.Error(err)
			}
		}
	})
	var dropped atomic.Uint64
	for worker := range 4 {
		work.Go(func() {
			for round := range 25 {
				id := fmt.Sprintf("network-%d-%d", worker, round)
				if err := live(t.Context(), r, d, id); err != nil {
					t.Errorf("%s: %v", id, err)
				}
				if round%2 == 0 {
					r.engine.Forget(id) // removed while nobody listened
					dropped.Add(1)
					continue
				}
				if err := d.DeleteNetwork(t.Context(), &docker.DeleteNetworkRequest{NetworkID: id}); err != nil {
					t.Error(err)
				}
				r.engine.Forget(id)
			}
		})
	}
	work.Wait()
	eventually(t, "what Docker has dropped is gone", func() bool { return len(d.Networks()) == 1 })
	cancel()
	looks.Wait()
	if n := d.Collected().Networks; n != dropped.Load() {
		t.Errorf("%d networks collected, %d were dropped", n, dropped.Load())
	}
	r.wantSizes(1, 0, 1)
}

// live makes a network with two endpoints and drops one of them without a call.
// The engine lists what it wants from before the call on; Docker does so soon after
// it, which looks this close together would miss.
func live(ctx context.Context, r *rig, d *driver.Driver, id string) error {
	r.engine.Name(id, id)
	if err := d.CreateNetwork(ctx, networkRequest(id)); err != nil {
		return err
	}
	stays, goes := id+"-stays", id+"-goes"
	for _, e := range []string{stays, goes} {
		r.engine.Endpoint(id, e)
		if _, err := d.CreateEndpoint(ctx, &docker.CreateEndpointRequest{NetworkID: id, EndpointID: e}); err != nil {
			return err
		}
		if _, err := d.Join(ctx, &docker.JoinRequest{NetworkID: id, EndpointID: e}); err != nil {
			return err
		}
	}
	r.engine.Forget(goes)
	if _, ok := r.plane.Endpoint(id, stays); !ok {
		return fmt.Errorf("endpoint %s was collected though Docker lists it", stays)
	}
	if err := d.Leave(ctx, &docker.LeaveRequest{NetworkID: id, EndpointID: stays}); err != nil {
		return err
	}
	if _, err := d.Join(ctx, &docker.JoinRequest{NetworkID: id, EndpointID: stays}); err != nil {
		return err
	}
	for _, n := range d.Networks() {
		if n.ID == id {
			return nil
		}
	}
	return fmt.Errorf("network %s was collected though Docker lists it", id)
}
