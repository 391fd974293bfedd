//go:build component

package network

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"evio/datapath/packet"
	"evio/driver/network/claims"
	"evio/driver/plane"
	"evio/overlay/overlaytest"
)

var vip4, vip6 = netip.MustParseAddr("10.1.0.200"), netip.MustParseAddr("fd00::200")

// give has a container give itself an address and announce it, as keepalived does.
func (b *box) give(addr netip.Addr) {
	b.rig.t.Helper()
	if addr.Is4() {
		b.ip("addr", "add", addr.String()+"/16", "dev", "eth0")
		b.announce(addr)
		return
	}
	b.ip("addr", "add", addr.String()+"/64", "dev", "eth0") // the kernel probes for it
}

// announce sends an announcement of an address.
func (b *box) announce(addr netip.Addr) {
	b.rig.t.Helper()
	b.enter(func() error {
		dev, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd) //nolint:errcheck // nothing to lose
		return unix.Sendto(fd, packet.Announce(nil, addr, b.spec.MAC), 0, &unix.SockaddrLinklayer{Ifindex: dev.Index, Halen: 6})
	})
}

func (b *box) takeAway(addr netip.Addr) {
	b.rig.t.Helper()
	bits := "/16"
	if addr.Is6() {
		bits = "/64"
	}
	b.ip("addr", "del", addr.String()+bits, "dev", "eth0")
}

// has reports whether the network says that the container has claimed an address.
func (b *box) has(addr netip.Addr) bool {
	for _, c := range (*b.rig.network().claimer.granted.Load())[b.spec.ID] {
		if c.Addr == addr {
			return true
		}
	}
	return false
}

func reaches(from *box, addr netip.Addr) func() bool {
	return func() bool { return from.pingOnce(addr) == nil }
}

// A container gives itself an address. It is reached there from its own site and another
// one, until it gives it up and another one takes it.
func TestContainerClaimsAnAddress(t *testing.T) {
	server := overlaytest.New()
	server.Befriend("a@example.net", "b@example.net")
	ra := newRig(t, server, "a", 1)
	rb := newRig(t, server, "b", 2, ra)
	kept := make(chan []plane.Claim, 64)
	ra.plane.KeepClaims(func(_, _ string, c []plane.Claim) { kept <- c })
	ra.addNetwork("claims")
	rb.addNetwork("claims")
	a1, a2, b1 := ra.box(1), ra.box(2), rb.box(11)
	for _, b := range []*box{a1, a2, b1} {
		b.attach()
	}
	eventually(t, "the sites reach each other", reaches(b1, a1.addr4()))
	for _, vip := range []netip.Addr{vip4, vip6} {
		a1.give(vip)
		eventually(t, "the container has claimed it", func() bool { return a1.has(vip) })
		eventually(t, "its own site reaches it", reaches(a2, vip))
		eventually(t, "another site reaches it", reaches(b1, vip))
	}
	if c := <-kept; len(c) != 1 || c[0] != (plane.Claim{Addr: vip4, MAC: a1.spec.MAC}) {
		t.Errorf("kept %v", c)
	}

	// Who announces it as well does not get it while the first one answers.
	b1.ip("addr", "add", vip4.String()+"/32", "dev", "lo")
	b1.announce(vip4)
	shown := func() []claims.Shown {
		var list []claims.Shown
		c := rb.network().claimer
		c.do(func(_ context.Context, now time.Time) { list = c.core.Show(b1.spec.ID, now) })
		return list
	}
	eventually(t, "the refusal names the other container", func() bool {
		list := shown()
		return len(list) == 1 && list[0].Cause == claims.Held && list[0].Holder.Addr == a1.addr4()
	})
	if !a1.has(vip4) || b1.has(vip4) {
		t.Fatal("the address moved from a container that answers for it")
	}

	// It moves when that one has given it up.
	began := time.Now()
	a1.takeAway(vip4)
	eventually(t, "it moves to another site", func() bool { return b1.has(vip4) && !a1.has(vip4) })
	eventually(t, "the first site reaches it there", reaches(a2, vip4))
	t.Logf("moved between sites within %v", time.Since(began))
	if n := a1.rig.network().drops.byCause()["claim-outside"]; n != 0 {
		t.Errorf("%d frames were counted as what no container may claim", n)
	}

	// And between two containers of one site.
	b1.ip("addr", "del", vip4.String()+"/32", "dev", "lo")
	a1.takeAway(vip6)
	began = time.Now()
	a2.give(vip6)
	eventually(t, "it moves within the site", func() bool { return a2.has(vip6) && !a1.has(vip6) })
	eventually(t, "the other site reaches it there", reaches(b1, vip6))
	t.Logf("moved within a site within %v", time.Since(began))

	// A container that ends gives up what it had.
	if err := a2.leave(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the directory forgets it", func() bool {
		_, known := rb.network().currentNode().Table().Lookup(vip6)
		return !known
	})
}

// What was claimed before the plugin was started again goes on.
func TestClaimsAreKeptOverARestart(t *testing.T) {
	server := overlaytest.New()
	r := newRig(t, server, "a", 1)
	var last []plane.Claim
	news := make(chan []plane.Claim, 64)
	r.plane.KeepClaims(func(_, _ string, c []plane.Claim) { news <- c })
	r.addNetwork("claims")
	a, b := r.box(1), r.box(2)
	a.attach()
	b.attach()
	a.give(vip4)
	last = <-news
	eventually(t, "it is reached", reaches(b, vip4))
	r.stop()
	r.start()
	a.spec.Claims = last
	r.restoreNetwork("claims", a, b)
	for _, x := range []*box{a, b} {
		if err := x.join(); err != nil {
			t.Fatal(err)
		}
	}
	if !a.has(vip4) {
		t.Error("the claim is gone")
	}
	if err := b.pingOnce(vip4); err != nil {
		t.Error(err)
	}
}
