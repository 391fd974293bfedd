package driver_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"evio/driver/drivertest"
	"evio/driver/plane"
)

var errInjected = errors.New("disk or switch is broken: mend it")

// Each step of each call fails once, before or after it did its work; nothing may
// be left, and the same call must then succeed.
func TestFailureOfEachStepLeavesNothing(t *testing.T) {
	type step struct {
		name  string
		plane func(drivertest.Call) bool
		store string
	}
	plane := func(op string, done bool) step {
		return step{
			name:  fmt.Sprintf("%s done=%v", op, done),
			plane: func(c drivertest.Call) bool { return c.Op == op && c.Done == done },
		}
	}
	for _, c := range []struct {
		method string
		before []string // calls that have succeeded
		steps  []step
		left   [3]int // networks, endpoints, files after the failure
	}{
		{"CreateNetwork", nil, []step{plane("AddNetwork", false), plane("AddNetwork", true), {name: "store", store: "Put network"}}, [3]int{0, 0, 0}},
		{
			"CreateEndpoint", []string{"CreateNetwork"},
			[]step{plane("CheckEndpoint", false), {name: "store", store: "Put endpoint"}}, [3]int{1, 0, 1},
		},
		{
			"Join", []string{"CreateNetwork", "CreateEndpoint"},
			[]step{plane("AddEndpoint", false), plane("AddEndpoint", true), {name: "store", store: "Put endpoint"}},
			[3]int{1, 0, 2},
		},
	} {
		for _, s := range c.steps {
			for _, how := range []string{"error", "panic"} {
				t.Run(c.method+"/"+s.name+"/"+how, func(t *testing.T) {
					var armed atomic.Bool
					fail := func() error {
						if how == "panic" {
							panic("injected")
						}
						return errInjected
					}
					r := newRig(t)
					r.plane.Hook = func(_ context.Context, call drivertest.Call) error {
						if s.plane != nil && s.plane(call) && armed.CompareAndSwap(true, false) {
							return fail()
						}
						return nil
					}
					r.store = &drivertest.Store{Hook: func(op, kind, _ string) error {
						if s.store == op+" "+kind && armed.CompareAndSwap(true, false) {
							return fail()
						}
						return nil
					}}
					r.start()
					bodies := map[string]m{
						"CreateNetwork":  createNetwork(net1, "evio.overlay=t1"),
						"CreateEndpoint": createEndpoint(net1, ep1, "10.9.0.2/24", ""),
						"Join":           join(net1, ep1),
					}
					for _, method := range c.before {
						r.ok(method, bodies[method])
					}
					armed.Store(true)
					text := r.refused(c.method, bodies[c.method])
					if how == "error" && !strings.Contains(text, errInjected.Error()) {
						t.Errorf("error %q does not say why", text)
					}
					r.wantSizes(c.left[0], c.left[1], c.left[2])
					r.ok(c.method, bodies[c.method])
					r.ok("DeleteNetwork", m{"NetworkID": net1})
					r.wantSizes(0, 0, 0)
				})
			}
		}
	}
}

// A plane that could not begin has nothing to undo, and nothing is kept for later.
func TestPlaneThatCannotBegin(t *testing.T) {
	r := newRig(t)
	r.plane.Hook = func(context.Context, drivertest.Call) error {
		return fmt.Errorf("wrapped: %w", plane.Unavailable{Err: errInjected})
	}
	r.start()
	r.refusedWith("CreateNetwork", createNetwork(net1, "evio.overlay=t1"), errInjected.Error())
	r.wantSizes(0, 0, 0)
	if faults, ops := r.driver.Faults(), r.plane.Ops(); len(faults) > 0 || len(ops) != 1 {
		t.Errorf("faults %q, operations %v", faults, ops)
	}
}

// What Docker forgets must not stay alive because something fails meanwhile.
func TestFailureWhileRemoving(t *testing.T) {
	for _, op := range []string{"Leave", "DeleteEndpoint"} {
		t.Run(op, func(t *testing.T) {
			var armed atomic.Bool
			r := newRig(t)
			r.plane.Hook = func(_ context.Context, c drivertest.Call) error {
				if c.Op == "RemoveEndpoint" && c.Done && armed.Load() {
					return errInjected
				}
				return nil
			}
			r.start()
			r.ok("CreateNetwork", createNetwork(net1, "evio.overlay=t1"))
			r.ok("CreateEndpoint", createEndpoint(net1, ep1, "10.9.0.2/24", ""))
			r.ok("Join", join(net1, ep1))
			armed.Store(true)
			r.refusedWith(op, ids(net1, ep1), errInjected.Error())
			armed.Store(false)
			r.ok("DeleteEndpoint", ids(net1, ep1))
			r.wantSizes(1, 0, 1)
		})
	}
}

// A network whose removal fails is removed in the background, also by the next
// process, and its overlay is free at once.
func TestRemovalGoesOn(t *testing.T) {
	var broken atomic.Bool
	r := newRig(t)
	r.plane.Hook = func(_ context.Context, c drivertest.Call) error {
		if c.Op == "RemoveNetwork" && !c.Done && broken.Load() {
			return errInjected
		}
		return nil
	}
	r.start()
	r.ok("CreateNetwork", createNetwork(net1, "evio.overlay=t1"))
	r.ok("CreateEndpoint", createEndpoint(net1, ep1, "10.9.0.2/24", ""))
	broken.Store(true)
	r.refusedWith("DeleteNetwork", m{"NetworkID": net1}, errInjected.Error())
	r.refusedWith("Join", join(net1, ep1), "unknown network")
	r.ok("DeleteNetwork", m{"NetworkID": net1})
	r.ok("CreateNetwork", createNetwork(net2, "evio.overlay=t1"))
	if nets := r.driver.Networks(); len(nets) != 1 || nets[0].ID != net2 {
		t.Errorf("networks %+v", nets)
	}
	if faults := r.driver.Faults(); len(faults) != 1 || !strings.Contains(faults[0], errInjected.Error()) {
		t.Errorf("faults %q", faults)
	}

	r.restart()
	eventually(t, "network of the store runs", func() bool { _, ok := r.plane.Network(net2); return ok })
	broken.Store(false)
	eventually(t, "remains are gone", func() bool { return r.files() == 1 })
	r.wantSizes(1, 0, 1)
}

// The caller goes away in the middle of a call: what was done is undone.
func TestCancelledRequest(t *testing.T) {
	for _, c := range []struct {
		op, method string
		body       m
		left       [3]int
	}{
		{"AddNetwork", "CreateNetwork", createNetwork(net1, "evio.overlay=t1"), [3]int{0, 0, 0}},
		{"AddEndpoint", "Join", join(net1, ep1), [3]int{1, 0, 2}},
	} {
		for _, obeys := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s obeys=%v", c.method, obeys), func(t *testing.T) {
				var armed atomic.Bool
				reached, ended := make(chan struct{}), make(chan struct{})
				r := newRig(t)
				r.plane.Hook = func(ctx context.Context, call drivertest.Call) error {
					if call.Op != c.op || !call.Done || !armed.CompareAndSwap(true, false) {
						return nil
					}
					close(reached)
					<-ctx.Done()
					close(ended)
					if obeys {
						return ctx.Err()
					}
					return nil
				}
				r.start()
				if c.method == "Join" {
					r.ok("CreateNetwork", createNetwork(net1, "evio.overlay=t1"))
					r.ok("CreateEndpoint", createEndpoint(net1, ep1, "10.9.0.2/24", ""))
				}
				armed.Store(true)
				ctx, cancel := context.WithCancel(t.Context())
				gaveUp := make(chan error, 1)
				go func() {
					_, _, err := post(ctx, r.client, "NetworkDriver."+c.method, c.body)
					gaveUp <- err
				}()
				<-reached
				cancel()
				if err := <-gaveUp; !errors.Is(err, context.Canceled) {
					t.Errorf("caller got %v", err)
				}
				<-ended
				eventually(t, "the call ended", func() bool {
					for _, n := range r.driver.Calls() {
						if n.Method == c.method && n.Failed == 1 {
							return true
						}
					}
					return false
				})
				r.wantSizes(c.left[0], c.left[1], c.left[2])
				r.ok(c.method, c.body)
			})
		}
	}
}

func TestFaultIsToldAndTheRestAnswers(t *testing.T) {
	r := newRig(t).start()
	r.ok("CreateNetwork", createNetwork(net1, "evio.overlay=t1"))
	r.ok("CreateEndpoint", createEndpoint(net1, ep1, "10.9.0.2/24", ""))
	r.ok("Join", join(net1, ep1))

	r.fault = errors.New("/etc/evio/config.json: line 3: a comma is missing: correct it and enable the plugin again")
	r.restart()
	r.ok("GetCapabilities", nil)
	r.refusedWith("CreateNetwork", createNetwork(net2, "evio.overlay=t2"), r.fault.Error())
	r.refusedWith("CreateEndpoint", createEndpoint(net1, ep2, "10.9.0.3/24", ""), r.fault.Error())
	r.refusedWith("Join", join(net1, ep1), r.fault.Error())
	if faults := r.driver.Faults(); len(faults) != 1 || faults[0] != r.fault.Error() {
		t.Errorf("faults %q", faults)
	}
	r.ok("Leave", ids(net1, ep1))
	r.ok("DeleteEndpoint", ids(net1, ep1))
	r.refused("DeleteNetwork", m{"NetworkID": net1}) // Docker forgets it all the same
	if ops := r.plane.Ops(); len(ops) > 0 {
		t.Errorf("the plane was called: %v", ops)
	}

	r.fault = nil
	r.restart()
	eventually(t, "the removal is done after the fault is mended", func() bool { return r.files() == 0 })
}

func TestCloseWaitsForCalls(t *testing.T) {
	reached, release := make(chan struct{}), make(chan struct{})
	r := newRig(t)
	r.plane.Hook = func(_ context.Context, c drivertest.Call) error {
		if c.Op == "AddNetwork" && !c.Done {
			close(reached)
			<-release
		}
		return nil
	}
	r.start()
	r.ok("GetCapabilities", nil) // leaves an idle connection
	answered := make(chan int, 1)
	go func() {
		code, _, err := post(t.Context(), r.client, "NetworkDriver.CreateNetwork", createNetwork(net1, "evio.overlay=t1"))
		if err != nil {
			t.Error(err)
		}
		answered <- code
	}()
	<-reached
	r.ok("GetCapabilities", nil)
	closed := make(chan struct{})
	d := r.driver
	go func() {
		defer close(closed)
		if err := d.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	eventually(t, "new calls are refused", func() bool {
		code, _, err := post(t.Context(), r.client, "NetworkDriver.GetCapabilities", nil)
		return err != nil || code == http.StatusServiceUnavailable
	})
	close(release)
	if code := <-answered; code != http.StatusOK {
		t.Errorf("the call in flight was answered with %d", code)
	}
	<-closed
	r.wantSizes(1, 0, 1)
}
