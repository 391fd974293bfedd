package driver_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"evio/driver/drivertest"
)

// injector makes the n-th step fail that plane and store do for one call, and the
// m-th after it. A step is an operation before it does anything, or after it is done.
type injector struct {
	mu      sync.Mutex
	armed   bool
	steps   int
	first   int // which step fails; 0: none
	second  int // which one after it fails, as well; 0: none
	failed  []string
	fail    func(ctx context.Context) error // the first failure; ctx is nil in the store
	reached int                             // steps after the first failure
}

func (i *injector) step(ctx context.Context, name string) error {
	i.mu.Lock()
	if !i.armed {
		i.mu.Unlock()
		return nil
	}
	i.steps++
	switch {
	case i.steps == i.first:
		i.failed = append(i.failed, name)
		i.mu.Unlock()
		return i.fail(ctx)
	case i.first > 0 && i.steps > i.first:
		i.reached++
		if i.steps == i.first+i.second {
			i.failed = append(i.failed, name)
			i.mu.Unlock()
			return errInjected
		}
	}
	i.mu.Unlock()
	return nil
}

// disarm ends all failures and returns the names of the steps that failed.
func (i *injector) disarm() []string {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.armed = false
	return i.failed
}

func (i *injector) reachedFirst() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.steps >= i.first
}

// rig returns a driver whose plane and store ask the injector.
func (i *injector) rig(t *testing.T) *rig {
	r := newRig(t)
	when := map[bool]string{false: "before", true: "after"}
	r.plane.Hook = func(ctx context.Context, c drivertest.Call) error { return i.step(ctx, when[c.Done]+" "+c.Op) }
	r.store = &drivertest.Store{
		Hook:  func(op, kind, _ string) error { return i.step(nil, "before "+op+" "+kind) }, //nolint:staticcheck // the store has none
		After: func(op, kind, _ string) error { return i.step(nil, "after "+op+" "+kind) },  //nolint:staticcheck // the store has none
	}
	return r.start()
}

// handlers are the calls that change something, each with those that come before it.
var handlers = []struct {
	method string
	before []string
	sizes  [3]int // networks, endpoints and files before it; nothing more is there after it failed
	makes  bool   // it makes something, so its failure leaves all as it was
}{
	{"CreateNetwork", nil, [3]int{0, 0, 0}, true},
	{"CreateEndpoint", []string{"CreateNetwork"}, [3]int{1, 0, 1}, true},
	{"Join", []string{"CreateNetwork", "CreateEndpoint"}, [3]int{1, 0, 2}, true},
	{"Leave", []string{"CreateNetwork", "CreateEndpoint", "Join"}, [3]int{1, 1, 2}, false},
	{"DeleteEndpoint", []string{"CreateNetwork", "CreateEndpoint", "Join"}, [3]int{1, 1, 2}, false},
	{"DeleteNetwork", []string{"CreateNetwork", "CreateEndpoint", "Join"}, [3]int{1, 1, 2}, false},
}

func bodyOf(method string) m {
	switch method {
	case "CreateNetwork":
		return createNetwork(net1, "evio.overlay=t1")
	case "CreateEndpoint":
		return createEndpoint(net1, ep1, "10.9.0.2/24", "")
	case "Join":
		return join(net1, ep1)
	}
	return ids(net1, ep1)
}

// Each step that a call has, and then each step of its undoing as well, fails once: by an
// error, a panic, or a caller that is gone. Nothing is left, the same call succeeds
// afterwards, and everything can be removed.
func TestEachStepOfEachCallFails(t *testing.T) {
	for _, h := range handlers {
		for _, how := range []string{"error", "panic", "gone", "gone and obeyed"} {
			t.Run(h.method+"/"+how, func(t *testing.T) {
				t.Parallel()
				for first := 1; ; first++ {
					i := &injector{first: first}
					if !failCall(t, i, how, h.method, h.before, h.sizes, h.makes) {
						if first < 3 {
							t.Errorf("only %d steps: this test sees nothing", first)
						}
						return
					}
					if how != "error" || !h.makes {
						continue // nothing is undone, or it has been looked at
					}
					for second := 1; second <= i.reached; second++ {
						failCall(t, &injector{first: first, second: second}, how, h.method, h.before, h.sizes, h.makes)
					}
				}
			})
		}
	}
}

// failCall lets a call fail, checks what is left, and reports whether it has failed.
func failCall(t *testing.T, i *injector, how, method string, before []string, sizes [3]int, makes bool) bool {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	i.fail = func(ctx context.Context) error {
		switch how {
		case "error":
			return errInjected
		case "panic":
			panic("injected")
		}
		cancel()
		if ctx == nil {
			return nil // when the driver sees it is a matter of luck
		}
		<-ctx.Done()
		if strings.HasPrefix(how, "gone") {
			return nil
		}
		return ctx.Err()
	}
	r := i.rig(t)
	defer r.stop()
	for _, m := range before {
		r.ok(m, bodyOf(m))
	}
	i.mu.Lock()
	i.armed = true
	i.mu.Unlock()
	code, answer, err := post(ctx, r.client, "NetworkDriver."+method, bodyOf(method))
	if err != nil && !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	ended := false
	failed := 0
	eventually(t, "the call ended", func() bool {
		for _, c := range r.driver.Calls() {
			if c.Method == method && c.Total > 0 {
				ended, failed = true, int(c.Failed)
			}
		}
		return ended
	})
	where := fmt.Sprintf("%s, step %d (%s), %d after it", how, i.first, strings.Join(i.disarm(), ", then "), i.second)
	if err == nil && (code == http.StatusOK) != (failed == 0) {
		t.Errorf("%s: code %d", where, code)
	}
	if text, _ := answer["Err"].(string); strings.ContainsAny(text, "\n\r") {
		t.Errorf("%s: %q", where, text)
	}
	if i.reachedFirst() && failed == 0 && strings.HasPrefix(how, "gone") {
		r.ok("DeleteNetwork", ids(net1, ""))
		return true // it was done before the driver saw that its caller is gone
	}
	if failed == 0 {
		return false
	}
	if makes && i.second == 0 {
		if n, e := r.plane.Size(); n != sizes[0] || e != sizes[1] || r.files() != sizes[2] {
			t.Errorf("%s: left %d networks, %d endpoints, %d files, want %v", where, n, e, r.files(), sizes)
		}
	}
	// The background may still be at it.
	eventually(t, where+": the same call succeeds", func() bool {
		code, _ := r.post("NetworkDriver."+method, bodyOf(method))
		return code == http.StatusOK
	})
	r.ok("DeleteEndpoint", ids(net1, ep1))
	r.ok("DeleteNetwork", ids(net1, ""))
	eventually(t, where+": nothing is left, nothing is wrong", func() bool {
		n, e := r.plane.Size()
		return n == 0 && e == 0 && r.files() == 0 && len(r.driver.Faults()) == 0
	})
	return true
}
