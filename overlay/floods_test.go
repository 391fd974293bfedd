package overlay

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"evio/overlay/flood"
	"evio/overlay/nodeid"
)

// A flooded frame is delivered once to each other node and not to its origin,
// from the moment at which all are connected.
func TestFloodReachesEachOtherNodeOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 9)
		l.until("connected", l.connected)
		number := uint32(0)
		for range 2 {
			var frames [][]byte
			for i, s := range l.sites {
				for range 5 {
					number++
					f := frameOf(hw(byte(i+1)), number)
					s.node.Flood(f)
					frames = append(frames, f)
				}
			}
			pass(time.Second)
			for i, f := range frames {
				for j, s := range l.sites {
					if got, want := s.fabric.count(f), min(1, abs(i/5-j)); got != want {
						t.Errorf("frame of site %d at site %d: %d times, want %d", i/5, j, got, want)
					}
				}
			}
			pass(2 * time.Second)
			l.until("the ring has settled", l.settled)
		}
	})
}

func abs(i int) int { return max(i, -i) }

// On a settled ring n − 1 copies do.
func TestFloodCopiesOnASettledRing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 8
		l := newLab(t, n)
		l.until("settled", l.settled)
		pass(5 * time.Second)
		before := received(l)
		l.sites[0].node.Flood(frameOf(hw(1), 1))
		pass(time.Second)
		if got := received(l) - before; got != n-1 {
			t.Errorf("%d copies, want %d", got, n-1)
		}
	})
}

// received counts the flooded copies that came to any node.
func received(l *lab) uint64 {
	var sum uint64
	for _, s := range l.sites {
		got := make(chan uint64, 1)
		s.node.After(func() { got <- s.node.flood.Stats().Received })
		sum += <-got
	}
	return sum
}

func TestFloodFromAnothersMACIsNotDelivered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 3)
		l.until("connected", l.connected)
		a, b, c := l.sites[0], l.sites[1], l.sites[2]
		a.mustClaim("10.0.0.1", 1)
		l.until("seen", func() bool { return b.sees("10.0.0.1", a) && c.sees("10.0.0.1", a) })
		f := frameOf(hw(1), 1)
		b.node.Flood(f)
		pass(time.Second)
		for _, s := range []*site{a, c} {
			if s.fabric.count(f) != 0 || s.drop("flood-source-not-origin") != 1 {
				t.Errorf("%s: delivered %d times, counters %v", s.jid, s.fabric.count(f), s.status().Drops)
			}
		}
	})
}

// A member that floods in the name of another is not heard, and keeps the other's own
// floods from nobody: neither by its numbers, nor by its budget.
func TestFloodInAnothersName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 3)
		l.until("connected", l.connected)
		a, b, c := l.sites[0], l.sites[1], l.sites[2]
		a.mustClaim("10.0.0.1", 1)
		l.until("settled", func() bool { return l.settled() && b.sees("10.0.0.1", a) && c.sees("10.0.0.1", a) })
		stolen := frameOf(hw(1), 1000)
		sent := make(chan flood.Header, 1)
		a.node.After(func() { sent <- a.node.flood.Originate(a.node.ring.Neighbours(), time.Now())[0].Header })
		h := <-sent
		h.ArcEnd = after(c.id) // the arc of c alone
		for range 3000 {
			h.Seq++
			h.Signature = flood.Sign(b.node.cfg.Key, labOverlay, h, stolen)
			for _, s := range l.wire.between(b.id, c.id) {
				_ = s.SendFlood([][]byte{append(flood.AppendHeader(nil, h), stolen...)})
			}
			pass(time.Millisecond)
		}
		if c.fabric.count(stolen) != 0 || c.drop("flood-forged") == 0 {
			t.Errorf("delivered %d times, counters %v", c.fabric.count(stolen), c.status().Drops)
		}
		if blamed := c.log.with("forged flood refused"); len(blamed) == 0 || !strings.Contains(strings.Join(blamed, "\n"), b.jid) {
			t.Errorf("the log says %q", blamed)
		}
		for i := range uint32(20) {
			f := frameOf(hw(1), i)
			a.node.Flood(f)
			pass(time.Second)
			if c.fabric.count(f) != 1 {
				t.Errorf("frame %d of the one whose name was used came %d times", i, c.fabric.count(f))
			}
		}
	})
}

// after is the place next to a node's.
func after(id nodeid.ID) nodeid.ID {
	for i := len(id) - 1; i >= 0; i-- {
		if id[i]++; id[i] != 0 {
			break
		}
	}
	return id
}

// The log tells whose clock is wrong only if the flood comes from there.
func TestBlameForALateFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 3)
		l.until("connected", l.connected)
		a, b, c := l.sites[0], l.sites[1], l.sites[2]
		bring := func(origin *site) {
			for _, s := range l.wire.between(b.id, c.id) {
				h := flood.Header{Origin: origin.id, ArcEnd: after(c.id)}
				_ = s.SendFlood([][]byte{append(flood.AppendHeader(nil, h), frameOf(hw(1), 1)...)})
			}
			pass(time.Second)
		}
		bring(a)
		if said := c.log.with("late flood"); c.drop("flood-time") != 1 || len(said) != 0 {
			t.Errorf("in another's name: %d counted, the log says %q", c.drop("flood-time"), said)
		}
		bring(b)
		if said := c.log.with("late flood"); c.drop("flood-time") != 2 || len(said) != 1 || !strings.Contains(said[0], b.jid) {
			t.Errorf("in the own name: %d counted, the log says %q", c.drop("flood-time"), said)
		}
	})
}

func TestFloodQueueIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 1)
		s := l.sites[0]
		hold, held := make(chan struct{}), make(chan struct{})
		s.node.After(func() { close(held); <-hold })
		<-held
		for range maxWaiting + 10 {
			s.node.Flood(frameOf(hw(1), 1))
		}
		close(hold)
		if got := s.drop("node-queue-full"); got != 10 {
			t.Errorf("%d drops counted, want 10", got)
		}
	})
}

// A steady stream of input does not keep a node from what is due.
func TestWorkIsDoneUnderSteadyInput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 2)
		l.until("settled", l.settled)
		a, b := l.sites[0], l.sites[1]
		var ticks []time.Time
		for i := range uint32(200) {
			a.node.Flood(frameOf(hw(1), i))
			pass(20 * time.Millisecond)
			got := make(chan time.Time, 1)
			b.node.After(func() { got <- b.node.ticked })
			ticks = append(ticks, <-got)
		}
		for i, at := range ticks[1:] {
			if at.Sub(ticks[i]) > tickMost+20*time.Millisecond {
				t.Fatalf("no tick for %v", at.Sub(ticks[i]))
			}
		}
		if late := time.Since(ticks[len(ticks)-1]); late > tickMost {
			t.Fatalf("last tick %v ago", late)
		}
	})
}
