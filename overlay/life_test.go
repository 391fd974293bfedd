package overlay

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"evio/overlay/control"
)

func TestRemovedMemberLosesSessionAndAddresses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 3)
		a, b, c := l.sites[0], l.sites[1], l.sites[2]
		c.mustClaim("10.0.0.3", 3)
		l.until("seen", func() bool { return a.sees("10.0.0.3", c) && b.sees("10.0.0.3", c) })
		l.server.Remove(c.jid)
		gone := func() bool {
			return a.fabric.link(c.id) == nil && b.fabric.link(c.id) == nil && !a.knows("10.0.0.3") && !b.knows("10.0.0.3") &&
				len(l.wire.between(a.id, c.id)) == 0
		}
		if !l.within(5*time.Second, gone) {
			t.Fatal("still there after 5 s")
		}
		if a.fabric.link(b.id) == nil {
			t.Error("the others have lost each other")
		}
		if l.within(time.Minute, func() bool { return a.fabric.link(c.id) != nil }) {
			t.Error("the removed one came back")
		}
		a.mustClaim("10.0.0.3", 1) // free at once
		l.server.Befriend(a.jid, b.jid, c.jid)
		l.until("it is a member again", func() bool { return a.fabric.link(c.id) != nil })
	})
}

// An address stays known while its node is only out of reach, also after the node
// had to make room for another; it goes with the membership.
func TestRemovedMemberThatIsNoPeerLosesAddresses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 2)
		a, b := l.sites[0], l.sites[1]
		b.mustClaim("10.0.0.2", 2)
		l.until("seen", func() bool { return a.sees("10.0.0.2", b) })
		b.account.Close()
		b.stop()
		l.until("link down", func() bool { return a.fabric.link(b.id) == nil })
		forgotten := make(chan bool, 1)
		l.until("no attempt under way", func() bool {
			a.node.After(func() { forgotten <- a.node.forgetIdle() })
			return <-forgotten
		})
		if !a.sees("10.0.0.2", b) {
			t.Fatal("the address went with the session")
		}
		l.server.Remove(b.jid)
		l.until("the address is gone", func() bool { return !a.knows("10.0.0.2") })
	})
}

func TestOutageOfSignallingEndsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 3)
		a, b, c := l.sites[0], l.sites[1], l.sites[2]
		l.until("settled", l.settled)
		before := []Session{a.fabric.link(b.id), a.fabric.link(c.id), b.fabric.link(c.id)}
		ever := l.wire.openedBy(a.id)
		l.server.Down()
		pass(90 * time.Second)
		a.mustClaim("10.0.0.1", 1)
		l.until("a claim is seen", func() bool { return b.sees("10.0.0.1", a) && c.sees("10.0.0.1", a) })
		f := frameOf(hw(1), 1)
		a.node.Flood(f)
		pass(time.Second)
		if b.fabric.count(f) != 1 || c.fabric.count(f) != 1 {
			t.Error("a flood was lost")
		}
		l.server.Up()
		pass(time.Minute)
		for i, s := range []Session{a.fabric.link(b.id), a.fabric.link(c.id), b.fabric.link(c.id)} {
			if s != before[i] {
				t.Errorf("session %d was replaced", i)
			}
		}
		if now := l.wire.openedBy(a.id); now != ever {
			t.Errorf("%d sessions were opened meanwhile", now-ever)
		}
	})
}

// A session that dies while the server is away comes back with the server.
func TestSessionLostDuringOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 2)
		a, b := l.sites[0], l.sites[1]
		l.until("connected", l.connected)
		l.server.Down()
		l.wire.setCut(a.id, b.id, true)
		l.until("dead", func() bool { return a.fabric.links() == 0 && b.fabric.links() == 0 })
		l.wire.setCut(a.id, b.id, false)
		pass(2 * time.Minute)
		if a.fabric.links() != 0 {
			t.Fatal("a session without first contact")
		}
		l.server.Up()
		if !l.within(5*time.Second, l.connected) {
			t.Error("not connected 5 s after the server came back")
		}
	})
}

func TestDeadSessionIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 3)
		a, b := l.sites[0], l.sites[1]
		l.until("settled", l.settled)
		pass(15 * time.Second)
		old := a.fabric.link(b.id)
		l.wire.setCut(a.id, b.id, true)
		l.until("down", func() bool { return a.fabric.link(b.id) == nil && b.fabric.link(a.id) == nil })
		b.mustClaim("10.0.0.2", 2) // a hears of it only over the next session
		l.wire.setCut(a.id, b.id, false)
		l.until("up again", func() bool { return a.fabric.link(b.id) != nil && b.fabric.link(a.id) != nil })
		if a.fabric.link(b.id) == old {
			t.Error("a dead session serves")
		}
		l.until("claim seen", func() bool { return a.sees("10.0.0.2", b) })
		l.until("settled again", l.settled)
	})
}

// A peer that begins a new life is served by the new session as soon as that is
// established, the old one is closed, and the addresses of its old life that it
// does not claim again are forgotten.
func TestRestartedPeerIsServedByTheNewSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 3)
		a, b := l.sites[0], l.sites[1]
		b.mustClaim("10.0.0.2", 2)
		b.mustClaim("10.0.0.3", 3)
		l.until("settled", l.settled)
		l.until("seen", func() bool { return a.sees("10.0.0.2", b) && a.sees("10.0.0.3", b) })
		pass(15 * time.Second)
		old := a.fabric.link(b.id)
		// No goodbye arrives: the engine was killed.
		l.wire.setCut(a.id, b.id, true)
		b.stop()
		l.wire.setCut(a.id, b.id, false)
		b.start()
		b.mustClaim("10.0.0.2", 2)
		l.until("new session serves", func() bool { s := a.fabric.link(b.id); return s != nil && s != old })
		l.until("only what is claimed is left", func() bool { return a.sees("10.0.0.2", b) && !a.knows("10.0.0.3") })
		l.until("settled again", l.settled)
		l.until("one session is left", func() bool { return len(l.wire.between(a.id, b.id)) == 1 })
		f := frameOf(hw(2), 1)
		b.node.Flood(f)
		pass(time.Second)
		for _, s := range []*site{a, l.sites[2]} {
			if s.fabric.count(f) != 1 {
				t.Errorf("%s has the first flood of the new life %d times", s.jid, s.fabric.count(f))
			}
		}
	})
}

// Events of sessions that were given up come late, in any order, and change nothing.
func TestLateEventsChangeNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 2)
		a, b := l.sites[0], l.sites[1]
		l.until("settled", l.settled)
		pass(15 * time.Second)
		events := l.wire.between(a.id, b.id)[0].events
		l.wire.setCut(a.id, b.id, true)
		l.until("replaced", func() bool { return a.fabric.links() == 0 })
		l.wire.setCut(a.id, b.id, false)
		l.until("settled", l.settled)
		before := a.snapshot()
		events.Established()
		events.Parameters([]byte("late"))
		events.Control([][]byte{{1, 2, 3}})
		events.Flood([][]byte{frameOf(hw(1), 1)})
		events.Closed(errPeerDead)
		events.Closed(errPeerDead)
		pass(time.Second)
		if after := a.snapshot(); after != before {
			t.Errorf("before %s\nafter  %s", before, after)
		}
	})
}

// While a replaced session lingers, what its peer still says of the ring is void:
// both ends began anew with the session that serves.
func TestLingeringSessionDoesNotMoveTheRing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 2)
		a, b := l.sites[0], l.sites[1]
		l.until("settled", l.settled)
		pass(15 * time.Second)
		first := l.wire.between(a.id, b.id)[0].events.(*peerSession)
		l.wire.setCut(a.id, b.id, true)
		b.stop()
		l.wire.setCut(a.id, b.id, false)
		b.start()
		l.until("replaced", func() bool {
			got := make(chan bool, 1)
			a.node.After(func() { p := a.node.peers[b.id]; got <- p != nil && p.serving != nil && p.serving != first })
			return <-got
		})
		l.until("settled", l.settled)
		ignored := make(chan [2]uint64, 1)
		a.node.After(func() {
			p := a.node.peers[b.id]
			before := a.node.ring.Ignored()
			a.node.control(p, first, control.Message{Type: control.Ring, Payload: []byte("late")}, time.Now())
			void := a.node.ring.Ignored() - before
			a.node.control(p, p.serving, control.Message{Type: control.Ring, Payload: []byte("nonsense")}, time.Now())
			ignored <- [2]uint64{void, a.node.ring.Ignored() - before}
		})
		if got := <-ignored; got != [2]uint64{0, 1} {
			t.Errorf("messages that reached the ring: %v, want none of the old session and the new one's", got)
		}
	})
}

// A message of a member that left while it waited opens nothing.
func TestMessageOfOneWhoLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 2)
		a, b := l.sites[0], l.sites[1]
		l.until("connected", l.connected)
		members := a.book.Members(labOverlay)
		if len(members) != 1 || members[0].Node != b.id {
			t.Fatalf("members %+v", members)
		}
		l.server.Remove(b.jid)
		l.until("gone", func() bool { return a.fabric.links() == 0 })
		ever := l.wire.openedBy(a.id)
		envelope := envelopeOf(t, b.key, a, time.Now())
		a.node.message(members[0], envelope)
		pass(10 * time.Second)
		if now := l.wire.openedBy(a.id); now != ever {
			t.Error("a session was opened with one who is no member")
		}
		if a.drop("envelope-stranger") == 0 {
			t.Error("not counted")
		}
	})
}

// A peer whose session answers but takes no messages gets a new session, which
// tells everything again.
func TestPeerThatTakesNoMessagesGetsANewSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 2)
		a, b := l.sites[0], l.sites[1]
		l.until("settled", l.settled)
		pass(15 * time.Second)
		old := a.fabric.link(b.id)
		done := make(chan struct{})
		l.wire.setLoss(1)
		a.node.After(func() {
			defer close(done)
			serving := a.node.peers[b.id].serving
			for range 5000 {
				serving.tell(control.Type(99), []byte("of a later version"), time.Now())
			}
		})
		<-done
		l.wire.setLoss(0)
		l.until("replaced", func() bool { s := a.fabric.link(b.id); return s != nil && s != old })
		a.mustClaim("10.0.0.1", 1)
		l.until("told", func() bool { return b.sees("10.0.0.1", a) })
	})
}

func TestShutdownClosesEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 3)
		a, b := l.sites[0], l.sites[1]
		l.until("connected", l.connected)
		a.stop()
		if !l.within(time.Second, func() bool { return b.fabric.link(a.id) == nil && len(l.wire.between(a.id, b.id)) == 0 }) {
			t.Error("the peers were not told")
		}
		if err := a.claim("10.0.0.1", 1); err == nil {
			t.Error("an ended node claims addresses")
		}
		if _, err := a.node.Status(t.Context()); err == nil {
			t.Error("an ended node has a status")
		}
		if a.node.After(func() {}) {
			t.Error("an ended node takes work")
		}
		a.node.Flood(frameOf(hw(1), 1))
		a.node.Withdraw(nil, hw(1))
	})
}

// Whoever waits for an ended node gets an error, and whoever has stopped waiting leaves nothing behind.
func TestClaimEndsWithContextAndNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 1)
		s := l.sites[0]
		hold := make(chan struct{})
		s.node.After(func() { <-hold })
		synctest.Wait() // the node is held
		ctx, cancel := context.WithCancel(t.Context())
		got := make(chan error, 2)
		go func() { got <- s.node.Claim(ctx, s.addrs("10.0.0.1"), hw(1)) }()
		synctest.Wait()
		cancel()
		if err := <-got; err == nil {
			t.Error("no error after the context ended")
		}
		close(hold)
		pass(time.Second)
		if s.knows("10.0.0.1") {
			t.Error("what nobody waited for is claimed")
		}

		hold = make(chan struct{})
		s.node.After(func() { <-hold })
		synctest.Wait() // the node is held
		go func() { got <- s.node.Claim(t.Context(), s.addrs("10.0.0.1"), hw(1)) }()
		synctest.Wait()
		s.cancel()
		close(hold)
		synctest.Wait()
		select {
		case err := <-got:
			if err == nil {
				t.Error("a node that ended has claimed an address")
			}
		default:
			t.Error("still waits for a node that has ended")
		}
	})
}
