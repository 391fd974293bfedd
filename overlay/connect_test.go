package overlay

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestThreeNodesShareTheirAddresses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 3)
		a, b, c := l.sites[0], l.sites[1], l.sites[2]
		a.mustClaim("10.0.0.1", 1) // before anybody is there to hear it
		if !l.within(3*time.Second, l.connected) {
			t.Fatal("not connected within 3 s")
		}
		b.mustClaim("10.0.0.2", 2)
		b.mustClaim("fd00::2", 2)
		l.until("both claims are seen", func() bool {
			return b.sees("10.0.0.1", a) && c.sees("10.0.0.1", a) && a.sees("10.0.0.2", b) && c.sees("fd00::2", b)
		})
		if e, ok := c.node.Table().LookupMAC(hw(2)); !ok || e.Node != b.id {
			t.Errorf("MAC address at %+v, %v", e, ok)
		}

		err := c.claim("10.0.0.1", 3)
		if err == nil || !strings.Contains(err.Error(), a.jid) || !strings.Contains(err.Error(), "10.0.0.1") {
			t.Errorf("conflict: %v, want one that names the address and %s", err, a.jid)
		}
		if _, ok := c.node.Table().LookupMAC(hw(3)); ok {
			t.Error("a refused claim has left its MAC address")
		}

		b.node.Withdraw(b.addrs("10.0.0.2"), hw(2))
		l.until("the withdrawal is seen", func() bool { return !a.knows("10.0.0.2") && !c.knows("10.0.0.2") })
		if !a.sees("fd00::2", b) {
			t.Error("the other address of the container went with it")
		}
		c.mustClaim("10.0.0.2", 4)
		l.until("the free address is taken", func() bool { return a.sees("10.0.0.2", c) && b.sees("10.0.0.2", c) })
	})
}

func TestClaimWithoutAddressTakesTheMAC(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 2)
		a, b := l.sites[0], l.sites[1]
		l.until("connected", l.connected)
		if err := a.node.Claim(t.Context(), nil, hw(1)); err != nil {
			t.Fatal(err)
		}
		l.until("the MAC address is seen", func() bool { e, ok := b.node.Table().LookupMAC(hw(1)); return ok && e.Node == a.id })
		if err := b.node.Claim(t.Context(), nil, hw(1)); err == nil {
			t.Error("two nodes have one MAC address")
		}
		a.node.Withdraw(nil, hw(1))
		l.until("the MAC address is free", func() bool { _, ok := b.node.Table().LookupMAC(hw(1)); return !ok })
	})
}

// A second address that is taken costs the first one again.
func TestClaimTakesAllOrNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 2)
		a, b := l.sites[0], l.sites[1]
		l.until("connected", l.connected)
		a.mustClaim("fd00::1", 1)
		l.until("seen", func() bool { return b.sees("fd00::1", a) })
		if err := b.node.Claim(t.Context(), b.addrs("10.0.0.1", "fd00::1"), hw(2)); err == nil {
			t.Fatal("a taken address was claimed")
		}
		pass(time.Second)
		if b.knows("10.0.0.1") || a.knows("10.0.0.1") {
			t.Error("the first address of a refused container is still claimed")
		}
	})
}

// Each message is repeated until it is there, so loss costs time only.
func TestLossCostsTimeOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 4)
		l.wire.setLoss(0.3)
		for i, s := range l.sites {
			s.mustClaim(address(i), byte(i+1))
		}
		l.until("everybody sees everything", func() bool {
			for _, s := range l.sites {
				for i, o := range l.sites {
					if !s.sees(address(i), o) {
						return false
					}
				}
			}
			return true
		})
	})
}

// Sessions that find a path only with what they learn late get each other's late
// parameters, and need one attempt for all.
func TestFurtherParametersReachThePeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 0)
		l.wire.relayed = true
		l.server.Befriend(jids(3)...)
		for i := range 3 {
			l.add(i)
		}
		if !l.within(wireFurther+500*time.Millisecond, l.connected) {
			t.Fatal("not connected soon after the further parameters were there")
		}
		for _, s := range l.sites {
			if got := l.wire.openedBy(s.id); got != 2 {
				t.Errorf("%s has opened %d sessions for 2 peers", s.jid, got)
			}
		}
		pass(time.Minute)
		if got := l.wire.openedBy(l.sites[0].id); got != 2 || !l.connected() {
			t.Errorf("%d sessions a minute later", got)
		}
	})
}
