package clocks

import (
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var epoch = time.UnixMilli(1_800_000_000_000)

// end is one of two, whose clock is off.
type end struct {
	m   Meter
	off time.Duration
}

func newEnd(off time.Duration) *end {
	e := &end{off: off}
	e.m.Wall = func(now time.Time) time.Time { return now.Add(e.off) }
	return e
}

// TestMeasures: an end knows how far the other clock is off to within half of what the
// exchange took and the millisecond of the message, wherever in it the time went.
func TestMeasures(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spell := func(name string, most time.Duration) time.Duration {
			return time.Duration(rapid.Int64Range(0, int64(most)).Draw(t, name))
		}
		a, b := newEnd(spell("a", 100*time.Hour)), newEnd(spell("b", 100*time.Hour))
		now := epoch
		asked := now
		q := a.m.Ask(now)
		now = now.Add(spell("there", 5*time.Second))
		reply, _, err := b.m.Take(q, now)
		if err != nil {
			t.Fatal(err)
		}
		now = now.Add(spell("back", 5*time.Second))
		if _, news, err := a.m.Take(reply, now); !news || err != nil {
			t.Fatalf("the answer: news %t, %v", news, err)
		}
		got, ok := a.m.Ahead()
		if miss := (got - (b.off - a.off)).Abs(); !ok || miss > now.Sub(asked)/2+time.Millisecond {
			t.Fatalf("measured %v of %v, %v in %v", got, b.off-a.off, miss, now.Sub(asked))
		}
		if _, ok := b.m.Ahead(); ok {
			t.Fatal("who has not asked knows")
		}
	})
}

// TestAsks: an end asks at once, then each half minute; at once when its clock was set, or
// that of the other end; and not because it is asked, so that two ends never ask in a
// circle.
func TestAsks(t *testing.T) {
	e, other, now := newEnd(0), newEnd(0), epoch
	if !e.m.Due(now) {
		t.Fatal("it does not ask at first")
	}
	e.m.Ask(now)
	hear := func() {
		if reply, _, err := e.m.Take(other.m.Ask(now), now); len(reply) != answerSize || err != nil {
			t.Errorf("a question is answered by % x, %v", reply, err)
		}
	}
	for _, s := range []struct {
		name  string
		after time.Duration
		do    func()
		due   bool
	}{
		{"just asked", 0, func() {}, false},
		{"asked by the other", 4 * time.Second, hear, false},
		{"asked by the other, whose clock was set", 0, func() { other.m.Set(); hear() }, true},
		{"asked again", 0, func() { e.m.Ask(now) }, false},
		{"asked by the other, as ever", 0, hear, false},
		{"its clock was set", 0, e.m.Set, true},
		{"asked once more", 0, func() { e.m.Ask(now) }, false},
		{"half a minute", askEvery - 1, func() {}, false},
		{"over", 1, func() {}, true},
	} {
		now = now.Add(s.after)
		if s.do(); e.m.Due(now) != s.due {
			t.Errorf("%s: due %t, want %t", s.name, !s.due, s.due)
		}
	}
}

// TestIgnores: an answer to no question, to an older one, one that comes again, or one that
// took too long changes nothing.
func TestIgnores(t *testing.T) {
	a, b := newEnd(0), newEnd(time.Hour)
	reply := func(q []byte, now time.Time) []byte {
		r, _, err := b.m.Take(q, now)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	take := func(name string, r []byte, now time.Time, want bool) {
		t.Helper()
		if _, news, err := a.m.Take(r, now); news != want || err != nil {
			t.Errorf("%s: news %t, %v", name, news, err)
		}
	}
	if first := a.m.Ask(epoch); a.m.Awaits(first) || !a.m.Awaits(reply(first, epoch)) {
		t.Error("it awaits its own question, or not the answer")
	}
	first := reply(a.m.Ask(epoch), epoch)
	second := reply(a.m.Ask(epoch), epoch)
	take("to an older question", first, epoch, false)
	take("too late", second, epoch.Add(longest+1), false)
	take("in time", second, epoch.Add(longest), true)
	take("again", second, epoch, false)
	take("of another kind", append([]byte{4}, second[1:]...), epoch, false)
	take("with more behind it", append(reply(a.m.Ask(epoch), epoch), 1, 2, 3), epoch, true)
	for _, b := range [][]byte{nil, {question}, second[:questionSize], second[:answerSize-1]} {
		if _, _, err := a.m.Take(b, epoch); !errors.Is(err, ErrMessage) {
			t.Errorf("% x: %v", b, err)
		}
	}
}

func FuzzTake(f *testing.F) {
	m := newEnd(0)
	q := m.m.Ask(epoch)
	reply, _, _ := m.m.Take(q, epoch)
	f.Add(q)
	f.Add(reply)
	f.Fuzz(func(t *testing.T, b []byte) {
		e := newEnd(0)
		e.m.Ask(epoch)
		reply, news, err := e.m.Take(b, epoch.Add(time.Second))
		if err != nil && (reply != nil || news) {
			t.Fatalf("refused, and yet %x, %t", reply, news)
		}
		if reply != nil && (len(reply) != answerSize || string(reply[1:questionSize]) != string(b[1:questionSize])) {
			t.Fatalf("% x answered by % x", b, reply)
		}
		if _, ok := e.m.Ahead(); ok != news {
			t.Fatalf("measured %t, news %t", ok, news)
		}
	})
}
