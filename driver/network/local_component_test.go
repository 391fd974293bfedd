//go:build component

package network

import (
	"context"
	"errors"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"evio/datapath/netdev"
	"evio/driver/plane"
	"evio/driver/status"
	"evio/overlay/overlaytest"
)

func TestContainersOfOneEngine(t *testing.T) {
	r := newRig(t, overlaytest.New(), "a", 1)
	r.addNetwork("")
	r.addNetwork("") // is there already
	one, two := r.box(1), r.box(2)
	one.attach()
	two.attach()
	mustPing(t, one, two)
	mustPing(t, two, one)
	if err := one.join(); err != nil {
		t.Errorf("an endpoint that is there: %v", err)
	}
	mustPing(t, one, two)

	t.Run("addresses are unique", func(t *testing.T) {
		mac := r.box(3)
		mac.spec.MAC = one.spec.MAC
		addr := r.box(4)
		addr.spec.Addrs[1] = two.addr6()
		for _, b := range []*box{mac, addr} {
			if err := b.join(); err == nil || !strings.Contains(err.Error(), "another container of this network") {
				t.Errorf("second owner: %v", err)
			}
			if index, err := netdev.Index(b.spec.HostIf); index != 0 || err != nil {
				t.Errorf("a refused container left %s", b.spec.HostIf)
			}
		}
	})

	t.Run("removal leaves nothing", func(t *testing.T) {
		for range 2 {
			if err := one.leave(); err != nil {
				t.Fatal(err)
			}
		}
		if index, _ := netdev.Index(one.spec.HostIf); index != 0 || slices.Contains(r.ports(), one.spec.HostIf) {
			t.Errorf("devices %v, ports %v", devices(t), r.ports())
		}
		for range 2 {
			if err := r.plane.RemoveNetwork(t.Context(), netID); err != nil {
				t.Fatal(err)
			}
		}
		if left := devices(t); len(left) != 0 {
			t.Errorf("devices left: %v", left)
		}
		if left := r.vsctl("list-br"); left != "" {
			t.Errorf("bridges left: %s", left)
		}
		if err := r.box(5).join(); err == nil {
			t.Error("a container joined a network that is gone")
		}
	})
}

// What another call of the same time is about is no reason to fail.
func TestManyAtOnce(t *testing.T) {
	const n = 30
	r := newRig(t, overlaytest.New(), "a", 1)
	r.addNetwork("")
	together := func(do func(*box) error) []error {
		errs := make([]error, n)
		var wg sync.WaitGroup
		for i := range errs {
			wg.Go(func() { errs[i] = do(r.box(byte(i + 1))) })
		}
		wg.Wait()
		return errs
	}
	for range 2 {
		if err := errors.Join(together((*box).join)...); err != nil {
			t.Fatal(err)
		}
		if got := len(r.ports()); got != n+2 {
			t.Errorf("%d ports, want those of %d containers and two of the network", got, n)
		}
		if err := errors.Join(together((*box).leave)...); err != nil {
			t.Fatal(err)
		}
		if got := r.ports(); len(got) != 2 {
			t.Errorf("ports left: %v", got)
		}
	}
	// All want one address: one gets it.
	errs := together(func(b *box) error {
		b.spec.Addrs = r.box(1).spec.Addrs
		return b.join()
	})
	refused := slices.DeleteFunc(slices.Clone(errs), func(err error) bool { return err == nil })
	if len(refused) != n-1 {
		t.Errorf("%d of %d were refused: %v", len(refused), n, errors.Join(errs...))
	}
	if err := errors.Join(append(together((*box).leave), together((*box).join)...)...); err != nil {
		t.Fatal(err)
	}
	// Some go and come while others do, and some come in vain.
	errs = together(func(b *box) error {
		err := b.leave()
		if b.spec.MAC[5]%3 == 0 {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if r.plane.AddEndpoint(ctx, b.spec) == nil {
				return errors.New("joined in vain and does not know")
			}
			return err
		}
		return errors.Join(err, b.join())
	})
	if err := errors.Join(errs...); err != nil {
		t.Error(err)
	}
	if err := r.plane.RemoveNetwork(t.Context(), netID); err != nil {
		t.Fatal(err)
	}
	if left := devices(t); len(left) != 0 {
		t.Errorf("a removed network left %v", left)
	}
}

func TestCancelledJoinLeavesNothing(t *testing.T) {
	r := newRig(t, overlaytest.New(), "a", 1)
	r.addNetwork("blue")
	before := devices(t)
	b := r.box(1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.plane.AddEndpoint(ctx, b.spec); !errors.Is(err, context.Canceled) {
		t.Fatalf("join: %v", err)
	}
	if diff := cmp.Diff(before, devices(t)); diff != "" {
		t.Error(diff)
	}
	eventually(t, "its port is gone", func() bool { return !slices.Contains(r.ports(), b.spec.HostIf) })
	if err := r.network().addEndpoint(t.Context(), r.box(2).spec); err != nil {
		t.Fatal(err)
	}
	if _, held := r.network().currentNode().Table().Lookup(b.addr4()); held {
		t.Error("its address is still claimed")
	}
	if err := b.join(); err != nil {
		t.Errorf("second try: %v", err)
	}
}

// A container that died without Docker's knowledge takes its interface with it.
// The others are attached as before, and it can come back.
func TestInterfaceThatVanished(t *testing.T) {
	r := newRig(t, overlaytest.New(), "a", 1)
	r.addNetwork("")
	one, two := r.box(1), r.box(2)
	one.attach()
	run(t, "ip", "netns", "del", one.ns)
	eventually(t, "the interface is gone", func() bool { i, _ := netdev.Index(one.spec.HostIf); return i == 0 })
	two.attach()
	one.attach()
	mustPing(t, one, two)
}

// A container whose interface the switch does not open is alone with that: it cannot
// join, and if it is there already others come and go.
func TestInterfaceThatCannotBeOpened(t *testing.T) {
	r := newRig(t, overlaytest.New(), "a", 1)
	r.addNetwork("")
	bad := r.box(9)
	bad.spec.HostIf, bad.spec.Adopt = "lo", true
	t.Cleanup(func() { run(t, "ip", "link", "set", "lo", "alias", "") })
	if err := bad.join(); err == nil || strings.Contains(err.Error(), "there is no such device") {
		t.Errorf("a container on an interface that cannot be opened: %v", err)
	}
	n := r.network()
	e, err := n.reserve(bad.spec)
	if err != nil {
		t.Fatal(err)
	}
	n.mu.Lock()
	e.attached = true
	n.mu.Unlock()
	one, two := r.box(1), r.box(2)
	one.attach()
	two.attach()
	mustPing(t, one, two)
	if err := one.leave(); err != nil {
		t.Error(err)
	}
	n.release(e)
	if err := n.switched.wait(t.Context()); err != nil {
		t.Error(err)
	}
}

// After a restart of the plugin a container's interface is taken as it is.
func TestRestartAdoptsContainers(t *testing.T) {
	r := newRig(t, overlaytest.New(), "a", 1)
	r.addNetwork("")
	one, two := r.box(1), r.box(2)
	one.attach()
	two.attach()
	mustPing(t, one, two)
	index, err := netdev.Index(one.spec.HostIf)
	if err != nil {
		t.Fatal(err)
	}
	r.stop()
	if err := one.join(); err == nil {
		t.Error("a plane that ended took a container")
	}
	if err := r.plane.AddNetwork(t.Context(), plane.NetworkSpec{ID: netID, MTU: testMTU}); !errors.Is(err, errClosed) {
		t.Errorf("a network of a plane that ended: %v", err)
	}
	r.start()
	r.addNetwork("")
	for _, b := range []*box{one, two} {
		b.spec.Adopt = true
		if err := b.join(); err != nil {
			t.Fatal(err)
		}
	}
	if now, _ := netdev.Index(one.spec.HostIf); now != index {
		t.Errorf("interface %d was replaced by %d", index, now)
	}
	mustPing(t, one, two)
	allAttached(t, r, 2)
	r.stop()
	r.start()
	r.restoreNetwork("", one, two)
	allAttached(t, r, 2)
	mustPing(t, one, two)
	lost := r.box(3)
	lost.spec.Adopt = true
	if err := lost.join(); err == nil || !strings.Contains(err.Error(), "restart the container") {
		t.Errorf("an interface that is gone: %v", err)
	}
	if err := exec.Command("ip", "link", "show", one.spec.HostIf).Run(); err != nil {
		t.Error(err)
	}
}

// allAttached demands what the status says of that many containers.
func allAttached(t *testing.T, r *rig, want int) {
	t.Helper()
	all := r.plane.Networks(t.Context())
	if len(all) != 1 || len(all[0].Endpoints) != want {
		t.Fatalf("%+v", all)
	}
	for _, e := range all[0].Endpoints {
		if e.State != status.EndpointAttached {
			t.Errorf("%+v", e)
		}
	}
}
