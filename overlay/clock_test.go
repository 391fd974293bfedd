package overlay

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"evio/overlay/contact"
	"evio/overlay/control"
)

// set sets a site's clock.
func (s *site) set(off time.Duration) { s.off.Store(int64(off)) }

// clockAt returns how site b's clock stands, as site a shows it.
func (s *site) clockAt(b *site) (Clock, bool) {
	for _, m := range s.status().Members {
		if m.Node == b.id && m.Clock != nil {
			return *m.Clock, true
		}
	}
	return Clock{}, false
}

// says reports whether a site's faults tell that another one's clock is off, by how much.
func (s *site) says(b *site, text string) bool {
	for _, w := range s.node.Warnings() {
		if strings.Contains(w, b.jid) && strings.Contains(w, text) {
			return true
		}
	}
	return false
}

// TestClocksAreMeasured: two nodes know over their session how far their clocks are apart,
// and say so when that is more than is tolerated, until it is not.
func TestClocksAreMeasured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 2)
		a, b := l.sites[0], l.sites[1]
		l.until("the two are connected", l.connected)
		offsets := []time.Duration{0, 4 * time.Minute, -4 * time.Minute, 0, time.Minute, -time.Minute, -time.Hour, time.Hour, 0}
		for _, off := range slices.Concat(offsets, offsets) {
			pass(600 * time.Millisecond)
			a.set(off)
			within := func(s, o *site, want time.Duration) bool {
				c, ok := s.clockAt(o)
				return ok && !c.Likely && (c.Ahead-want).Abs() < 100*time.Millisecond
			}
			if !l.within(5*time.Second, func() bool { return within(b, a, off) && within(a, b, -off) }) {
				x, _ := b.clockAt(a)
				y, _ := a.clockAt(b)
				t.Fatalf("set to %v: b measures %v, a measures %v", off, x.Ahead, y.Ahead)
			}
			beyond := off.Abs() > contact.Skew
			if got := b.says(a, fmt.Sprintf("is %v", off.Abs())); got != beyond {
				t.Errorf("set to %v: b says so: %t: %q", off, got, b.node.Warnings())
			}
			if got := a.says(b, fmt.Sprintf("is %v", off.Abs())); got != beyond {
				t.Errorf("set to %v: a says so: %t: %q", off, got, a.node.Warnings())
			}
			if !l.connected() {
				t.Errorf("set to %v: the session ended", off)
			}
		}
		if n := len(b.log.with("the clocks of the two engines agree again")); n != 2 {
			t.Errorf("said %d times that all is well again, want twice", n)
		}
	})
}

// TestClocksWithoutSession: where no session comes up because of the clocks, both ends
// say so, and by how much, as likely; it is over when a session is up.
func TestClocksWithoutSession(t *testing.T) {
	for _, off := range []time.Duration{time.Hour, -time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			l := newLab(t, 2)
			a, b := l.sites[0], l.sites[1]
			l.until("the two are connected", l.connected)
			a.stop()
			a.set(off)
			a.start()
			told := func() bool {
				return a.says(b, "seems to be 1h0m0s") && b.says(a, "seems to be 1h0m0s")
			}
			if !l.within(45*time.Second, told) {
				t.Fatalf("a says %q, b says %q", a.node.Warnings(), b.node.Warnings())
			}
			for range 12 { // and goes on saying so
				pass(10 * time.Second)
				if !told() {
					t.Fatalf("later a says %q, b says %q", a.node.Warnings(), b.node.Warnings())
				}
			}
			if c, ok := b.clockAt(a); !ok || !c.Likely || (c.Ahead-off).Abs() > time.Second {
				t.Errorf("b shows %+v", c)
			}
			a.set(0)
			if !l.within(5*time.Second, l.connected) {
				t.Fatal("no session 5 s after the clock was set right")
			}
			if len(a.node.Warnings())+len(b.node.Warnings()) > 0 {
				t.Errorf("still a says %q, b says %q", a.node.Warnings(), b.node.Warnings())
			}
		})
	}
}

// TestClockFaultIsNoReplay: an old envelope that comes again tells nothing of a clock, and
// neither does one of a member with a session.
func TestClockFaultIsNoReplay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 2)
		a, b := l.sites[0], l.sites[1]
		l.until("the two are connected", l.connected)
		e := contact.Envelope{To: a.id, Attempt: uint64(time.Now().UnixMilli()), Expiry: time.Now().Add(contact.Lifetime), Parameters: []byte("12345678")}
		envelope, err := contact.Sign(b.key, labOverlay, e)
		if err != nil {
			t.Fatal(err)
		}
		deliver := func() {
			if err := b.account.Send(t.Context(), a.account.Full(), envelope); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		deliver()
		pass(time.Hour)
		deliver()
		if c, ok := a.clockAt(b); !ok || c.Likely {
			t.Errorf("with a session: %+v, %t", c, ok)
		}
		l.wire.setCut(a.id, b.id, true)
		pass(10 * time.Second)
		deliver()
		if c, ok := a.clockAt(b); ok {
			t.Errorf("without one, for a copy: %+v", c)
		}
	})
}

// TestClockMessagesAreBounded: what a peer says of clocks beyond its limit, or that is
// malformed, is counted and changes nothing.
func TestClockMessagesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 2)
		a, b := l.sites[0], l.sites[1]
		l.until("the two are connected", l.connected)
		pass(10 * time.Second)
		said := make(chan struct{})
		b.node.mail.put(func() {
			defer close(said)
			serving := b.node.peers[a.id].serving
			for range 100 {
				serving.tell(control.Clock, make([]byte, 9), time.Now())
			}
			serving.tell(control.Clock, nil, time.Now())
		})
		<-said
		pass(time.Second)
		if got := a.drop("clock"); got < 101-clockBurst-2 || got > 101-clockBurst+2 {
			t.Errorf("%d counted", got)
		}
		if !l.connected() {
			t.Error("the session ended")
		}
	})
}

// TestClockSetRightInALab: whatever is done to the clock of one of three engines, and
// whether engines begin anew meanwhile or not, 5 s after it is right all sessions are up,
// and 5 s later what each has claimed is known to all.
func TestClockSetRightInALab(t *testing.T) {
	offsets := []time.Duration{0, 4 * time.Minute, -4 * time.Minute, time.Hour, -time.Hour}
	type stroke struct {
		Wait, Off int
		Restart   int // 3: nobody
		Keep      bool
		Cut       bool
	}
	rapid.Check(t, func(rt *rapid.T) {
		strokes := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) stroke {
			return stroke{
				Wait: rapid.IntRange(0, 240).Draw(rt, "wait"), Off: rapid.IntRange(0, len(offsets)-1).Draw(rt, "off"),
				Restart: rapid.IntRange(0, 3).Draw(rt, "restart"), Keep: rapid.Bool().Draw(rt, "keep"), Cut: rapid.Bool().Draw(rt, "cut"),
			}
		}), 1, 4).Draw(rt, "strokes")
		last := stroke{Restart: rapid.SampledFrom([]int{0, 3}).Draw(rt, "last"), Keep: rapid.Bool().Draw(rt, "last keep")}
		synctest.Test(t, func(t *testing.T) {
			l := newLab(t, 3)
			l.until("all are connected", l.connected)
			restart := func(s stroke) {
				if s.Restart == 3 {
					return
				}
				one := l.sites[s.Restart]
				one.stop()
				one.known = nil
				if known, err := one.node.Known(t.Context()); err == nil && s.Keep {
					one.known = known
				}
				one.start()
			}
			for _, s := range strokes {
				pass(time.Duration(s.Wait) * time.Second)
				l.sites[0].set(offsets[s.Off])
				restart(s)
				if s.Cut { // the sessions end, not the ways
					for _, other := range l.sites[1:] {
						for _, session := range l.wire.between(l.sites[0].id, other.id) {
							session.Close()
						}
					}
				}
			}
			pass(30 * time.Second)
			l.sites[0].set(0)
			restart(last)
			if !l.within(5*time.Second, l.connected) {
				t.Fatalf("no sessions 5 s after the clock was set right: %+v, %+v", strokes, last)
			}
			for i, s := range l.sites {
				s.mustClaim(fmt.Sprintf("10.0.9.%d", i+1), byte(i+1))
			}
			if !l.within(5*time.Second, func() bool {
				for _, s := range l.sites {
					for i, owner := range l.sites {
						if !s.sees(fmt.Sprintf("10.0.9.%d", i+1), owner) {
							return false
						}
					}
				}
				return true
			}) {
				t.Fatalf("not all addresses are known: %+v, %+v", strokes, last)
			}
		})
	})
}
