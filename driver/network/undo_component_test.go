//go:build component

package network

import (
	"context"
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"evio/datapath/netdev"
	"evio/driver/network/device"
	"evio/driver/plane"
	"evio/overlay/overlaytest"
)

// kept is what a network holds: devices, ports, addresses.
type kept struct{ Devices, Ports, Endpoints, Claims []string }

func (r *rig) kept() kept {
	r.t.Helper()
	k := kept{Devices: devices(r.t), Ports: r.ports()}
	n := r.network()
	n.mu.Lock()
	for id := range n.endpoints {
		k.Endpoints = append(k.Endpoints, id)
	}
	n.mu.Unlock()
	if node := n.currentNode(); node != nil {
		for _, e := range node.Table().Entries() {
			if e.Node == node.ID() {
				k.Claims = append(k.Claims, e.Addr.String())
			}
		}
	}
	slices.Sort(k.Devices)
	slices.Sort(k.Endpoints)
	slices.Sort(k.Claims)
	return k
}

// Each step of attaching a container fails, by itself or because the call is over: nothing
// of it is left, and the same call succeeds afterwards.
func TestAttachmentThatFailsLeavesNothing(t *testing.T) {
	server := overlaytest.New()
	r := newRig(t, server, "a", 1)
	server.Befriend(r.jid(), "b@example.net")
	r.addNetwork("blue")
	r.box(1).attach()
	before := r.kept()

	fails := func(t *testing.T, b *box, limit time.Duration, want string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		err := r.plane.AddEndpoint(ctx, b.spec)
		if err == nil && want == "" {
			if err := b.leave(); err != nil { // it was faster
				t.Error(err)
			}
		} else if err == nil || want != "" && !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
		var diff string
		for deadline := time.Now().Add(20 * time.Second); ; <-time.After(20 * time.Millisecond) {
			if diff = cmp.Diff(before, r.kept()); diff == "" {
				return
			}
			if time.Now().After(deadline) {
				t.Fatal("not within 20 s: ", diff)
			}
		}
	}
	t.Run("veth pair", func(t *testing.T) {
		for _, name := range []string{"a-name-that-is-too-long", r.box(2).spec.HostIf} {
			b := r.box(2)
			b.spec.ContainerIf = name
			fails(t, b, 20*time.Second, "make the container's interface")
		}
	})
	t.Run("address", func(t *testing.T) {
		b := r.box(3)
		b.spec.Addrs[0] = r.box(1).addr4()
		fails(t, b, 20*time.Second, "another container")
	})
	t.Run("apply", func(t *testing.T) {
		text, err := os.ReadFile(r.runDir + "/ovs-vswitchd.pid")
		if err != nil {
			t.Fatal(err)
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(1500*time.Millisecond, func() { _ = syscall.Kill(pid, syscall.SIGCONT) })
		fails(t, r.box(4), 300*time.Millisecond, "put the container on the bridge")
	})
	t.Run("call is over", func(t *testing.T) {
		for limit := time.Duration(0); limit < 60*time.Millisecond; limit += 3 * time.Millisecond {
			fails(t, r.box(5), limit, "")
		}
	})
	for n := byte(2); n <= 5; n++ {
		r.box(n).attach()
		if err := r.box(n).leave(); err != nil {
			t.Error(err)
		}
	}
	eventually(t, "all is as before", func() bool { return cmp.Equal(before, r.kept()) })
}

// A network whose fabric port or bridge cannot be made leaves nothing, and can be made
// when what was in the way is gone.
func TestNetworkThatFailsLeavesNothing(t *testing.T) {
	r := newRig(t, overlaytest.New(), "a", 1)
	<-r.plane.ready
	before := devices(t)
	spec := plane.NetworkSpec{ID: netID, MTU: testMTU}
	fabric := device.Name(device.FabricPrefix, r.plane.engine, netID)
	if err := netdev.CreateVeth(fabric, "cx", testMTU, hw(9)); err != nil {
		t.Fatal(err)
	}
	if err := r.plane.AddNetwork(t.Context(), spec); err == nil || !strings.Contains(err.Error(), fabric) {
		t.Errorf("error %v does not name %s", err, fabric)
	}
	if err := netdev.Delete(fabric); err != nil {
		t.Fatal(err)
	}
	for _, limit := range []time.Duration{0, 5 * time.Millisecond, 30 * time.Millisecond} {
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		err := r.plane.AddNetwork(ctx, spec)
		cancel()
		if err == nil { // it was faster
			if err := r.plane.RemoveNetwork(t.Context(), netID); err != nil {
				t.Error(err)
			}
		} else if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("within %v: %v", limit, err)
		}
		eventually(t, "nothing is left", func() bool { return slices.Equal(before, devices(t)) && r.vsctl("list-br") == "" })
		if _, err := r.plane.network(netID); err == nil {
			t.Error("the network is there")
		}
	}
	r.addNetwork("")
	if err := r.plane.RemoveNetwork(t.Context(), netID); err != nil {
		t.Error(err)
	}
	if left := devices(t); !slices.Equal(before, left) {
		t.Errorf("devices %v, before %v", left, before)
	}
}

// An address that a peer owns is refused with its account's name, and nothing is left.
func TestRefusedClaimLeavesNothing(t *testing.T) {
	a, b := pair(t)
	one := a.box(1)
	one.attach()
	eventually(t, "the peer has heard of the address", func() bool {
		_, known := b.network().currentNode().Table().Lookup(one.addr4())
		return known
	})
	before := devices(t)
	two := b.box(2)
	two.spec.Addrs[0] = one.addr4()
	if err := two.join(); err == nil || !strings.Contains(err.Error(), a.jid()) {
		t.Errorf("error %v does not name %s", err, a.jid())
	}
	if diff := cmp.Diff(before, devices(t)); diff != "" {
		t.Error(diff)
	}
	n := b.network()
	n.mu.Lock()
	held := len(n.endpoints)
	n.mu.Unlock()
	if _, claimed := n.currentNode().Table().Lookup(two.addr6()); held > 0 || claimed {
		t.Errorf("%d endpoints, its other address is claimed: %v", held, claimed)
	}
	two.spec.Addrs = b.box(2).spec.Addrs // the node may still look at the others
	two.attach()
	mustPing(t, two, one)
}
