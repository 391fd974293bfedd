package overlay

import (
	"testing"
	"testing/synctest"
	"time"
)

// Of two live engines with one identity the one that was started later leaves: what it
// has ends within 5 s of its finding out, the other one serves on.
func TestCopiedIdentityEndsSessions(t *testing.T) {
	for name, c := range map[string]struct {
		started time.Duration // of the copy's process, ago
		leaves  int           // which of the sites
	}{
		"the copy is the later one":   {0, 2},
		"the copy is the earlier one": {time.Hour, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t, 2)
				l.sites[0].mustClaim("10.0.0.1", 1)
				l.until("connected", l.connected)
				pass(15 * time.Second)
				l.server.Befriend(jids(3)...)
				l.addCopy(2, 0, time.Now().Add(-c.started))
				loser, winner, peer := l.sites[c.leaves], l.sites[2-c.leaves], l.sites[1]
				l.until("found out", func() bool { return len(loser.book.Faults()) > 0 })
				if !l.within(5*time.Second, func() bool { return loser.fabric.links() == 0 }) {
					t.Error("the one that leaves has sessions")
				}
				l.until("the other one serves", func() bool { return l.share(winner, peer) })
				ever := l.wire.openedBy(winner.id)
				if l.within(time.Minute, func() bool { return loser.fabric.links() > 0 || winner.fabric.links() != 1 }) {
					t.Error("the one that left disturbs the other")
				}
				if got := l.wire.openedBy(winner.id) - ever; got > 0 {
					t.Errorf("%d sessions were opened by the identity since", got)
				}
			})
		})
	}
}

// Envelopes of a removed member are refused too, and it starts again when it is
// a member again, with the addresses that it has then.
func TestRemovedMemberComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 3)
		a, b, c := l.sites[0], l.sites[1], l.sites[2]
		c.mustClaim("10.0.0.3", 3)
		c.mustClaim("10.0.0.4", 4)
		l.until("seen", func() bool { return a.sees("10.0.0.3", c) && a.sees("10.0.0.4", c) })
		for range 2 {
			member := a.book.Members(labOverlay)
			l.server.Remove(c.jid)
			if !l.within(5*time.Second, func() bool { return a.fabric.link(c.id) == nil && !a.knows("10.0.0.3") }) {
				t.Fatal("still there after 5 s")
			}
			refused := a.drop("envelope-stranger")
			for _, m := range member {
				if m.Node == c.id {
					a.node.message(m, envelopeOf(t, c.key, a, time.Now()))
				}
			}
			if got := a.drop("envelope-stranger") - refused; got != 1 {
				t.Errorf("%d envelopes refused, want 1", got)
			}
			c.node.Withdraw(c.addrs("10.0.0.4"), hw(4))
			pass(30 * time.Second)
			l.server.Befriend(a.jid, b.jid, c.jid)
			if !l.within(10*time.Second, func() bool { return l.connected() && a.sees("10.0.0.3", c) && b.sees("10.0.0.3", c) }) {
				t.Fatal("not back within 10 s")
			}
			if a.knows("10.0.0.4") {
				t.Error("an address that was given up meanwhile came back")
			}
		}
	})
}

// Who keeps engines away from the server, so that they do not hear of a removal, keeps nobody
// in for longer than a list may be old: then the sessions end, and none is opened before the
// list comes again.
func TestRemovedDuringOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 0)
		l.age = time.Minute
		l.server.Befriend(jids(2)...)
		a, b := l.add(0), l.add(1)
		b.mustClaim("10.0.0.2", 2)
		l.until("seen", func() bool { return a.sees("10.0.0.2", b) })
		pass(10 * time.Second)
		l.server.Befriend(jids(2)...) // the whole list, once more
		began := time.Now()
		l.server.Down()
		if !l.within(2*l.age, func() bool { return a.fabric.links() == 0 && b.fabric.links() == 0 && !a.knows("10.0.0.2") }) {
			t.Fatal("they have a session for twice the age that lists may have")
		}
		if took := time.Since(began); took < l.age || took > l.age+time.Second {
			t.Errorf("it ended after %v, want %v", took, l.age)
		}
		ever := l.wire.openedBy(a.id) + l.wire.openedBy(b.id)
		pass(time.Hour)
		if got := l.wire.openedBy(a.id) + l.wire.openedBy(b.id) - ever; got > 0 {
			t.Errorf("%d sessions were opened since", got)
		}
		l.server.Up()
		l.until("seen again", func() bool { return a.sees("10.0.0.2", b) })
	})
}
