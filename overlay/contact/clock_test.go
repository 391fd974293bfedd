package contact_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"evio/overlay/contact"
)

// clockFault is something that happens to one of the two hosts while host 0 has a wrong
// clock.
type clockFault struct {
	after   time.Duration // the one before
	wrong   time.Duration // what the clock is set to, of host 0
	restart int           // which host begins anew; 2: none
	lost    bool          // the session, at both ends
}

// TestClockSetRight: a clock that was wrong, by however much and with whatever happening
// meanwhile, costs no more than 5 s of the session when it is set right, whether the
// process goes on or begins anew.
func TestClockSetRight(t *testing.T) {
	offsets := []time.Duration{0, 4 * time.Minute, -4 * time.Minute, time.Hour, -time.Hour}
	rapid.Check(t, func(rt *rapid.T) {
		faults := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) clockFault {
			return clockFault{
				after:   time.Duration(rapid.IntRange(0, 600).Draw(rt, "after")) * step,
				wrong:   rapid.OneOf(rapid.SampledFrom(offsets), rapid.Map(rapid.Int64Range(-7200, 7200), func(s int64) time.Duration { return time.Duration(s) * time.Second })).Draw(rt, "wrong"),
				restart: rapid.IntRange(0, 2).Draw(rt, "restart"),
				lost:    rapid.Bool().Draw(rt, "lost"),
			}
		}), 1, 5).Draw(rt, "faults")
		w := newWorld(rt, rapid.Uint64().Draw(rt, "seed"))
		w.calm, w.faulty = true, false
		for _, h := range w.hosts {
			h.skew = 0
		}
		w.restart(0)
		w.restart(1)
		w.pass(10 * time.Second)
		for _, f := range faults {
			w.pass(f.after)
			w.setClock(f.wrong)
			if f.restart < 2 {
				w.restart(f.restart)
			}
			if f.lost {
				w.inflict(fault{kind: 4})
			}
		}
		w.pass(time.Duration(rapid.IntRange(0, 1200).Draw(rt, "wrong for")) * step)
		w.setClock(0)
		if rapid.Bool().Draw(rt, "restart") {
			w.restart(0)
		}
		w.pass(5 * time.Second)
		if !w.agreed() {
			rt.Fatalf("5 s after the clock was set right:\n%+v\n%+v", w.hosts[0].c.Status(), w.hosts[1].c.Status())
		}
	})
}

// pass lets time go by.
func (w *world) pass(d time.Duration) {
	for end := w.now.Add(d); w.now.Before(end); {
		w.advance()
	}
}

// agreed reports whether the two hosts serve with each other.
func (w *world) agreed() bool {
	a, b := w.hosts[0].c.Status(), w.hosts[1].c.Status()
	return a.State == contact.Serving && b.State == contact.Serving && a.Serving == b.Remote && b.Serving == a.Remote
}

// TestSetBackNeedsTwo: an envelope that seems older than those before is a late one, and
// so are copies of it and several that come at once; the second of two that were signed
// one after another shows that the peer's clock was set back.
func TestSetBackNeedsTwo(t *testing.T) {
	s := newScript(t)
	s.want(s.receive(0), "open 0")
	s.want(s.parameters(0), "connect 0 to 0 theirs", "send 0")
	s.pass(10 * time.Second)
	s.want(s.receive(10_000), "connect 0 to 10000 theirs", "send 0")
	back := func(signed time.Duration) (fx []contact.Effect, replayed bool) {
		b := sign(t, 2, contact.Envelope{To: id(1), Attempt: attempt(5), Expiry: epoch.Add(contact.Lifetime + signed), Parameters: []byte("older")})
		e, body, err := contact.Open(b, overlay, id(1), s.now, nil)
		if err != nil {
			t.Fatal(err)
		}
		replayed = s.c.Replayed(e, s.now)
		return s.c.Received(e, body, s.now), replayed
	}
	for _, signed := range []time.Duration{-200 * time.Second, -200 * time.Second, -198 * time.Second} {
		if fx, replayed := back(signed); len(fx) > 0 || !replayed {
			t.Errorf("one signed at %v, come at once: %v, replayed %t", signed, fx, replayed)
		}
	}
	s.pass(2 * time.Second)
	s.want(s.receive(10_000)) // the peer goes on as before
	if fx, replayed := back(-196 * time.Second); len(fx) > 0 || !replayed {
		t.Errorf("a late one behind that: %v, replayed %t", fx, replayed)
	}
	s.pass(2 * time.Second)
	fx, replayed := back(-194 * time.Second)
	if replayed {
		t.Error("the second of two in a row counts as replayed")
	}
	s.want(fx, "connect 0 to 5 older")
}

// TestUntimelyPushOutNothingTimely: however many genuine envelopes come that are refused for
// their time, those that were taken stay known, so that copies of them change nothing.
func TestUntimelyPushOutNothingTimely(t *testing.T) {
	s := newScript(t)
	taken := contact.Envelope{From: id(2), To: id(1), Attempt: attempt(0), Expiry: epoch.Add(contact.Lifetime), Parameters: []byte("theirs")}
	s.want(s.c.Received(taken, []byte("body"), s.now), "open 0")
	for n := range 2000 {
		old := contact.Envelope{From: id(2), To: id(1), Attempt: attempt(0) - uint64(n), Expiry: epoch.Add(-time.Hour)}
		if s.c.Copy(old) {
			t.Fatalf("old one %d is a copy at once", n)
		}
		if !s.c.Copy(old) || !s.c.Seen(old) {
			t.Fatalf("a copy of old one %d is none", n)
		}
	}
	if !s.c.Seen(taken) || !s.c.Replayed(taken, s.now) {
		t.Error("an envelope that was taken is new again")
	}
}

// TestTimeErrorSaysBy: what is refused for its time says by how much the sender's clock
// is wrong, if its signature is right.
func TestTimeErrorSaysBy(t *testing.T) {
	for _, ahead := range []time.Duration{time.Hour, -time.Hour, 6*time.Minute + time.Second, -7 * time.Minute} {
		t.Run(fmt.Sprint(ahead), func(t *testing.T) {
			b := sign(t, 1, contact.Envelope{To: id(2), Attempt: attempt(0), Expiry: epoch.Add(ahead + contact.Lifetime)})
			e, _, err := contact.Open(b, overlay, id(2), epoch, nil)
			var late *contact.TimeError
			if !errors.As(err, &late) || late.Ahead != ahead || !errors.Is(err, contact.ErrTime) {
				t.Errorf("got %v, want %v ahead", err, ahead)
			}
			if e.From != id(1) {
				t.Errorf("signed by %v, want it told", e.From)
			}
			b[len(b)-1] ^= 1
			if _, _, err = contact.Open(b, overlay, id(2), epoch, nil); !errors.Is(err, contact.ErrSignature) {
				t.Errorf("with a wrong signature: %v", err)
			}
		})
	}
}

// TestNamesake: an attempt with the number of an earlier one, of a life before the clock was
// set back, is another one.
func TestNamesake(t *testing.T) {
	s := newScript(t)
	s.want(s.receive(0), "open 0")
	s.want(s.parameters(0), "connect 0 to 0 theirs", "send 0")
	s.c.Established(attempt(0), s.now)
	s.wantState(contact.Serving)
	s.pass(20 * time.Second)
	b := sign(t, 2, contact.Envelope{To: id(1), Attempt: attempt(0), Expiry: s.now.Add(contact.Lifetime), Parameters: []byte("others")})
	e, body, err := contact.Open(b, overlay, id(1), s.now, nil)
	if err != nil {
		t.Fatal(err)
	}
	s.want(s.c.Received(e, body, s.now), "open 20000")
	s.want(s.parameters(20_000), "connect 20000 to 0 others", "send 20000")
}
