package overlay

import (
	"testing"
	"testing/synctest"
	"time"

	"evio/overlay/control"
)

// A peer that sends faster than a busy node takes leaves room for the others.
func TestOnePeerDoesNotFillTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 3)
		a, b, c := l.sites[0], l.sites[1], l.sites[2]
		l.until("settled", l.settled)
		hold := make(chan struct{})
		a.node.After(func() { <-hold })
		synctest.Wait() // the node is held
		said := l.wire.between(a.id, b.id)[0].events
		for range 2 * maxWaiting {
			said.Control([][]byte{{1}})
		}
		c.mustClaim("10.0.0.3", 3)
		pass(time.Second)
		close(hold)
		l.until("what the other peer says is taken", func() bool { return a.sees("10.0.0.3", c) })
		if got := a.drop("peer-queue-full"); got < 2*maxWaiting-maxSessionWaiting {
			t.Errorf("%d drops", got)
		}
		if got := a.drop("node-queue-full"); got != 0 {
			t.Errorf("%d drops of the others' input", got)
		}
		b.mustClaim("10.0.0.2", 2)
		l.until("the peer is heard again", func() bool { return a.sees("10.0.0.2", b) })
	})
}

func TestRingMessagesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 2)
		a, b := l.sites[0], l.sites[1]
		l.until("settled", l.settled)
		pass(time.Minute)
		a.on(func() {
			p := a.node.peers[b.id]
			for range ringBurst + 100 {
				a.node.control(p, p.serving, control.Message{Type: control.Ring, Payload: []byte("nonsense")}, time.Now())
			}
		})
		if got := a.drop("ring-limit"); got != 100 {
			t.Errorf("%d messages beyond the limit, want 100", got)
		}
		pass(10 * time.Second)
		before := a.drop("ring")
		a.on(func() {
			p := a.node.peers[b.id]
			a.node.control(p, p.serving, control.Message{Type: control.Ring, Payload: []byte("nonsense")}, time.Now())
		})
		if a.drop("ring") != before+1 || !l.settled() {
			t.Error("the limit does not end")
		}
	})
}
