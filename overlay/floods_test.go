package overlay

import (
	"bytes"
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
		sum += s.node.floods.stats().Received
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
		h := a.originate()
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

// originate returns the header of a flood of the site that nobody is sent.
func (s *site) originate() flood.Header {
	f := s.node.floods
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.core.Originate(f.view.Load().neighbours, time.Now())[0].Header
}

// Floods that a node cannot keep up with wait up to a bound, and nothing else waits for
// them. What is lost is counted to the frame, and what waited keeps its order.
func TestFloodsThatWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 2)
		l.until("settled", l.settled)
		a, b := l.sites[0], l.sites[1]
		release := b.fabric.hold()
		const sent = 6 * 1250
		for i := range sent {
			if i%1250 == 0 {
				pass(time.Second) // what a node floods in a second is half as much again
			}
			a.node.Flood(frameOf(hw(1), uint32(i)))
		}
		pass(time.Second)
		b.mustClaim("10.0.0.2", 2)
		a.mustClaim("10.0.0.1", 1)
		l.until("control is taken", func() bool { return b.sees("10.0.0.1", a) && a.sees("10.0.0.2", b) })
		release()
		l.until("the frames are taken", func() bool { return len(b.fabric.frames()) > maxFloods })
		pass(time.Second)
		came := b.fabric.frames()
		for i, f := range came {
			if !bytes.Equal(f, frameOf(hw(1), uint32(i))) {
				t.Fatalf("frame %d is %x", i, f)
			}
		}
		if lost := b.drop("flood-queue-full"); uint64(len(came))+lost != sent || lost == 0 {
			t.Errorf("%d frames came and %d are counted of %d: %v", len(came), lost, sent, b.status().Drops)
		}
	})
}

// A node floods a second's worth of frames at once neither in small nor in large ones, and
// what it does not flood is counted to the frame.
func TestOwnLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 3)
		l.until("settled", l.settled)
		const sent = 5000
		a := l.sites[0]
		for i := range sent {
			a.node.Flood(frameOf(hw(1), uint32(i)))
		}
		pass(time.Second)
		for _, s := range l.sites[1:] {
			if came, lost := len(s.fabric.frames()), a.drop("flood-own-limit"); came != 1250+100 || came+int(lost) != sent {
				t.Errorf("%d frames came, %d are counted", came, lost)
			}
		}
	})
}

// One container's flood keeps neither another's frames nor what the node itself says from
// the others, and alone it may send nearly all that the node may.
func TestContainerLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 3)
		l.until("settled", l.settled)
		const seconds, greedy, modest = 4, 20_000, 200
		a := l.sites[0]
		refused, honest := 0, 0
		for i := range seconds * greedy {
			if !a.node.FloodFrom(hw(1), frameOf(hw(1), uint32(i))) {
				refused++
			}
			if i%(greedy/modest) == 0 {
				if !a.node.FloodFrom(hw(2), frameOf(hw(2), uint32(i))) {
					t.Fatalf("a frame of another container is refused after %d", i)
				}
				honest++
			}
			if i%(greedy/10) == 0 {
				a.node.Flood(frameOf(hw(3), uint32(i)))
			}
			pass(time.Second / greedy)
		}
		pass(time.Second)
		for _, s := range l.sites[1:] {
			came := map[MAC]int{}
			for _, f := range s.fabric.frames() {
				came[MAC(f[6:12])]++
			}
			if came[hw(2)] != honest || came[hw(3)] != seconds*10 {
				t.Errorf("%d of %d frames of another container came, %d of %d of the node itself", came[hw(2)], honest, came[hw(3)], seconds*10)
			}
			if least := seconds * (2500 - modest - 10); came[hw(1)] < least || came[hw(1)]+refused != seconds*greedy {
				t.Errorf("%d frames of the greedy container came, at least %d may; %d were refused of %d", came[hw(1)], least, refused, seconds*greedy)
			}
		}
		if lost := a.drop("flood-container-limit"); int(lost) != refused || a.drop("flood-own-limit") != 0 {
			t.Errorf("%d are counted, %d were refused", lost, refused)
		}
	})
}

// What nobody else is there to get uses no budget, and is not lost.
func TestFloodAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newLab(t, 1).sites[0]
		pass(time.Second)
		for range 5000 {
			s.node.Flood(frameOf(hw(1), 1))
		}
		if drops := s.status().Drops; len(drops) > 0 {
			t.Errorf("drops %v", drops)
		}
	})
}

// By default each of 16 nodes may flood all that it may at the same time, and every other
// one gets each frame.
func TestAllFloodAllTheyMay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const nodes, each = MaxNodes, 50
		l := newLab(t, nodes)
		l.until("settled", l.settled)
		pass(5 * time.Second)
		for i := range each {
			for j, s := range l.sites {
				s.node.Flood(frameOf(hw(byte(j+1)), uint32(i)))
			}
			if i%5 == 4 {
				pass(2 * time.Millisecond)
			}
		}
		pass(time.Second)
		for _, s := range l.sites {
			if came := len(s.fabric.frames()); came != each*(nodes-1) {
				t.Errorf("%s: %d frames came, want %d: %v", s.jid, came, each*(nodes-1), s.status().Drops)
			}
		}
	})
}

// An origin's frames stay in order, even when one is faster than the record of its source
// address.
func TestFloodsStayInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 2)
		l.until("settled", l.settled)
		a, b := l.sites[0], l.sites[1]
		hold, held := make(chan struct{}), make(chan struct{})
		b.fabric.refuse(frameOf(hw(1), 1))
		b.node.After(func() { close(held); <-hold })
		<-held
		for i := range uint32(5) {
			a.node.Flood(frameOf(hw(1), i))
		}
		pass(time.Second)
		if came := len(b.fabric.frames()); came != 1 {
			t.Errorf("%d frames came before the one that waits, want 1", came)
		}
		close(hold)
		synctest.Wait()
		came := b.fabric.frames()
		for i, f := range came {
			if !bytes.Equal(f, frameOf(hw(1), uint32(i))) {
				t.Errorf("frame %d is %x", i, f)
			}
		}
		if len(came) != 5 {
			t.Errorf("%d frames came, want 5", len(came))
		}
		for i := range uint32(maxLate + 10) {
			b.fabric.refuse(frameOf(hw(1), 100+i))
		}
		hold, held = make(chan struct{}), make(chan struct{})
		b.node.After(func() { close(held); <-hold })
		<-held
		for i := range uint32(maxLate + 10) {
			a.node.Flood(frameOf(hw(1), 100+i))
		}
		pass(time.Second)
		close(hold)
		synctest.Wait()
		if lost, came := b.drop("flood-queue-full"), len(b.fabric.frames()); lost != 10 || came != 5+maxLate {
			t.Errorf("%d frames came and %d were lost of those that wait for their record, want %d and 10", came-5, lost, maxLate)
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
