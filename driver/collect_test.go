package driver_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	docker "github.com/docker/go-plugins-helpers/network"
	"github.com/google/go-cmp/cmp"

	"evio/driver"
	"evio/driver/collector"
	"evio/driver/drivertest"
	"evio/driver/status"
)

// forgotten is a store with network net1, which the engine removes while the plugin
// is away, net2 with the endpoints ep1, whose container the engine removes, and ep2.
// It calls f with the driver that starts thereafter.
func forgotten(t *testing.T, prepare func(*rig), f func(*testing.T, *rig, *driver.Driver)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		d := r.prepare()
		d.Start(t.Context())
		for id, name := range map[string]string{net1: "blue", net2: "green"} {
			create(t, d, id)
			r.engine.Name(id, name)
		}
		for _, id := range []string{ep1, ep2} {
			attach(t, r, d, net2, id)
		}
		<-time.After(10 * time.Second) // the names are known
		if err := d.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.engine.Forget(net1)
		r.engine.Forget(ep1)
		r.plane = &drivertest.Plane{}
		r.links = func(string) bool { return true }
		prepare(r)
		d = r.prepare()
		d.Start(t.Context())
		f(t, r, d)
		if err := d.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// attach does what Docker does for a container, and lists its endpoint thereafter.
func attach(t *testing.T, r *rig, d *driver.Driver, networkID, id string) {
	t.Helper()
	if _, err := d.CreateEndpoint(t.Context(), &docker.CreateEndpointRequest{NetworkID: networkID, EndpointID: id}); err != nil {
		t.Fatal(err)
	}
	r.engine.Endpoint(networkID, id)
	if _, err := d.Join(t.Context(), &docker.JoinRequest{NetworkID: networkID, EndpointID: id}); err != nil {
		t.Fatal(err)
	}
}

func nothing(*rig) {}

func wantCollected(t *testing.T, d *driver.Driver, networks, endpoints uint64) {
	t.Helper()
	if diff := cmp.Diff(status.Collected{Networks: networks, Endpoints: endpoints}, d.Collected()); diff != "" {
		t.Error(diff)
	}
}

// TestCollect: what Docker has removed while the plugin was away goes after two looks,
// the rest stays, and for each there is a line that says why.
func TestCollect(t *testing.T) {
	forgotten(t, nothing, func(t *testing.T, r *rig, d *driver.Driver) {
		<-time.After(19 * time.Second)
		wantCollected(t, d, 0, 0)
		r.wantSizes(2, 2, 4)
		<-time.After(2 * time.Second)
		wantCollected(t, d, 1, 1)
		r.wantSizes(1, 1, 2)
		if _, ok := r.plane.Endpoint(net2, ep2); !ok {
			t.Error("the living endpoint is gone")
		}
		var lines []string
		for _, e := range r.logs.AllEntries() {
			if strings.Contains(e.Message, "is removed:") {
				lines = append(lines, fmt.Sprint(e.Data["network"], " ", e.Data["endpoint"], " ", e.Message))
			}
		}
		want := []string{
			"blue <nil> network is removed: Docker did not list it in looks 20s apart, and no call has come about it",
			"green " + ep1[:12] + " endpoint is removed: Docker did not list it in looks 20s apart, and no call has come about it",
		}
		if diff := cmp.Diff(want, lines); diff != "" {
			t.Error(diff)
		}
		<-time.After(time.Hour)
		wantCollected(t, d, 1, 1)
		if n := r.engine.Lists(); n > 70 {
			t.Errorf("Docker was asked %d times in an hour", n)
		}
		create(t, d, net1) // nothing of the old one is in the way
	})
}

// TestCallsInFlight: a network that is being made, and one that was made between two
// looks, are Docker's to list later.
func TestCallsInFlight(t *testing.T) {
	var hold chan struct{}
	forgotten(t, func(r *rig) {
		hold = make(chan struct{})
		r.plane.Hook = func(_ context.Context, c drivertest.Call) error {
			if c.Op == "AddNetwork" && c.Network == "held" && !c.Done {
				<-hold
			}
			return nil
		}
	}, func(t *testing.T, r *rig, d *driver.Driver) {
		made := make(chan error, 1)
		go func() { made <- d.CreateNetwork(context.WithoutCancel(t.Context()), networkRequest("held")) }()
		<-time.After(18 * time.Second)
		create(t, d, "fresh")
		<-time.After(2 * time.Minute)
		if _, ok := r.plane.Network("fresh"); ok {
			t.Error("a network that Docker never listed is still there")
		}
		wantCollected(t, d, 2, 1)
		close(hold)
		if err := <-made; err != nil {
			t.Error(err)
		}
		<-time.After(15 * time.Second)
		r.engine.Name("held", "held")
		<-time.After(time.Hour)
		if _, ok := r.plane.Network("held"); !ok {
			t.Error("the network that was being made is gone")
		}
		wantCollected(t, d, 2, 1)
	})
}

// TestCallBeforeCollection: a call that comes after the second look, but before its
// turn, saves what it is about.
func TestCallBeforeCollection(t *testing.T) {
	for name, forget := range map[string]string{"an endpoint": ep1, "a network": net2} {
		t.Run(name, func(t *testing.T) {
			forgotten(t, func(r *rig) {
				r.engine.Forget(forget)
				r.plane.Hook = func(ctx context.Context, call drivertest.Call) error {
					if call.Op != "RemoveNetwork" || call.Network != net1 || call.Done {
						return nil
					}
					_, err := r.driver.Join(ctx, &docker.JoinRequest{NetworkID: net2, EndpointID: ep1})
					return err
				}
			}, func(t *testing.T, r *rig, d *driver.Driver) {
				<-time.After(21 * time.Second)
				wantCollected(t, d, 1, 0)
				if _, ok := r.plane.Endpoint(net2, ep1); !ok {
					t.Error("the endpoint of the call is gone")
				}
			})
		})
	}
}

// TestCollectionGoesOn: what the plane cannot remove at once is removed later.
func TestCollectionGoesOn(t *testing.T) {
	left := 3
	forgotten(t, func(r *rig) {
		r.plane.Hook = func(_ context.Context, c drivertest.Call) error {
			if c.Op == "RemoveNetwork" && !c.Done && left > 0 {
				left--
				return errSwitch
			}
			return nil
		}
	}, func(t *testing.T, r *rig, d *driver.Driver) {
		<-time.After(2 * time.Minute)
		wantCollected(t, d, 1, 1)
		r.wantSizes(1, 1, 2)
	})
}

// TestEngineStartsAgain: an engine that asks for the driver's capabilities has
// started, and is not left waiting for a minute.
func TestEngineStartsAgain(t *testing.T) {
	r := newRig(t)
	r.apart = time.Millisecond
	r.start()
	eventually(t, "a look", func() bool { return r.engine.Lists() > 0 })
	before := r.engine.Lists()
	r.ok("GetCapabilities", nil)
	eventually(t, "another look", func() bool { return r.engine.Lists() > before })
}

// TestMissing: a network that Docker has and the store lacks is reported.
func TestMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.names = []string{"evio"}
		r.engine.Name(net1, "blue")
		d := r.prepare()
		d.Start(t.Context())
		<-time.After(time.Minute)
		want := []string{
			"network blue (" + net1[:12] + ") is Docker's and not in the store of this plugin, whose file may have been damaged: remove it with docker network rm and create it again",
		}
		if diff := cmp.Diff(want, d.Faults()); diff != "" {
			t.Error(diff)
		}
		r.engine.Forget(net1)
		<-time.After(time.Minute + time.Second)
		if faults := d.Faults(); len(faults) != 0 {
			t.Errorf("faults %q", faults)
		}
		wantCollected(t, d, 0, 0)
		if err := d.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestLooksEndWithTheDriver: Close does not wait for an engine that is silent.
func TestLooksEndWithTheDriver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.engine.Change = func(ctx context.Context, _ *collector.List) error { <-ctx.Done(); return nil }
		d := r.prepare()
		d.Start(t.Context())
		synctest.Wait()
		began := time.Now()
		if err := d.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("it took %v", took)
		}
	})
}
