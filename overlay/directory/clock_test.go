package directory_test

import (
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"

	"evio/overlay/directory"
)

// clocked gives a member a clock of its own, which is off by what offset holds.
func (w *town) clocked(i int, known []byte, offset *time.Duration) {
	m := w.ms[i]
	d, err := directory.New(m.id, m.priv, overlay, directory.Config{
		Subnets: net10, Known: known, Wall: func(now time.Time) time.Time { return now.Add(*offset) },
	}, w.now)
	if err != nil {
		w.t.Fatal(err)
	}
	m.d = d
}

// say brings what member 0 has to say to member 1, over the session between the two.
func (w *town) say(records [][]byte) (refused error) {
	w.t.Helper()
	for _, r := range records {
		if _, err := w.ms[1].d.ApplyFrom(w.ms[0].id, r, w.now, keys(w.ms)); err != nil {
			refused = err
		}
	}
	return refused
}

// reborn begins another life of member 0, without what it knew, and its session with
// member 1.
func (w *town) reborn(offset *time.Duration) {
	w.t.Helper()
	w.ms[1].d.NodeUnreachable(w.ms[0].id, w.now)
	w.clocked(0, nil, offset)
	w.ms[0].d.NodeReachable(w.ms[1].id, w.now)
	w.ms[1].d.NodeReachable(w.ms[0].id, w.now)
}

// TestClockSetBackAndRestart: who begins anew after its clock was set back is believed at
// once, and what it said in the life before no longer counts, whoever brings it.
func TestClockSetBackAndRestart(t *testing.T) {
	w := newTown(t, 3)
	ahead := 4 * time.Minute
	w.reborn(&ahead)
	before := w.claim(0, ip("10.0.0.1"), mac(1)).Announce
	if err := w.say(append(before, w.ms[0].d.Own(w.now)...)); err != nil {
		t.Fatal(err)
	}
	w.wantHolder("10.0.0.1", 0, 1)
	w.now = w.now.Add(time.Minute)
	ahead = 0
	w.reborn(&ahead)
	u := w.claim(0, ip("10.0.0.2"), mac(2))
	if err := w.say(u.Announce); err != nil {
		t.Fatal(err)
	}
	w.wantHolder("10.0.0.2", 0, 1)
	if err := w.say(w.ms[0].d.Own(w.now)); err != nil {
		t.Fatal(err)
	}
	w.wantHolder("10.0.0.1", -1, 1)
	for _, r := range before { // from another member, which kept it
		got, err := w.ms[1].d.Apply(r, w.now, keys(w.ms))
		if err != nil || !got.Stale {
			t.Errorf("a record of the life before: %+v, %v", got, err)
		}
	}
	w.wantHolder("10.0.0.1", -1, 1)
	u = w.ms[0].d.Withdraw(ip("10.0.0.2"), mac(2), w.now)
	if err := w.say(u.Announce); err != nil {
		t.Fatal(err)
	}
	w.wantHolder("10.0.0.2", -1, 1)
}

// TestOnlyItsOwnSessionTurnsALife: a record of a lower life that another one brings is
// stale, and a forged one over its own session is refused.
func TestOnlyItsOwnSessionTurnsALife(t *testing.T) {
	w := newTown(t, 3)
	var right time.Duration
	w.reborn(&right)
	old := w.claim(0, ip("10.0.0.1"), mac(1)).Announce
	w.now = w.now.Add(time.Second)
	w.reborn(&right)
	if err := w.say(append(w.claim(0, ip("10.0.0.2"), mac(2)).Announce, w.ms[0].d.Own(w.now)...)); err != nil {
		t.Fatal(err)
	}
	for _, r := range old {
		if got, err := w.ms[1].d.ApplyFrom(w.ms[2].id, r, w.now, keys(w.ms)); err != nil || !got.Stale {
			t.Errorf("brought by another: %+v, %v", got, err)
		}
		r[len(r)-1] ^= 1
		if _, err := w.ms[1].d.ApplyFrom(w.ms[0].id, r, w.now, keys(w.ms)); !errors.Is(err, directory.ErrSignature) {
			t.Errorf("forged: %v", err)
		}
	}
	w.wantHolder("10.0.0.2", 0, 1)
	w.wantHolder("10.0.0.1", -1, 1)
}

// TestStepEndsNothingOfOthers: what others have claimed lasts as long as they said,
// whatever is done to the clock here.
func TestStepEndsNothingOfOthers(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newTown(t, 2)
		var offset time.Duration
		w.clocked(1, nil, &offset)
		w.ms[1].d.NodeReachable(w.ms[0].id, w.now)
		if err := w.say(w.claim(0, ip("10.0.0.1"), mac(1)).Announce); err != nil {
			rt.Fatal(err)
		}
		for end := w.now.Add(directory.Lifetime - time.Second); w.now.Before(end); {
			w.now = w.now.Add(time.Duration(rapid.IntRange(1, 600).Draw(rt, "passed")) * time.Second)
			if w.now.After(end) {
				w.now = end
			}
			offset = time.Duration(rapid.IntRange(-7200, 7200).Draw(rt, "offset")) * time.Second
			w.ms[1].d.ClockSet(w.now)
			w.ms[1].d.Tick(w.now)
			if _, ok := w.ms[1].d.Lookup(ip("10.0.0.1")); !ok {
				rt.Fatalf("gone %v after it was said, with a clock off by %v", w.now.Sub(epoch), offset)
			}
		}
		w.now = w.now.Add(directory.Skew + directory.Lifetime/3)
		w.ms[1].d.Tick(w.now)
		if _, ok := w.ms[1].d.Lookup(ip("10.0.0.1")); ok {
			rt.Fatal("never gone")
		}
	})
}

// TestKnownSurvivesAStep: what a node knew is worth as much to its next life, however far
// its clock was off when it was written, if it has been set back since.
func TestKnownSurvivesAStep(t *testing.T) {
	for _, was := range []time.Duration{0, 4 * time.Minute, time.Hour, 30 * 24 * time.Hour} {
		w := newTown(t, 2)
		offset := was
		w.clocked(1, nil, &offset)
		w.ms[1].d.NodeReachable(w.ms[0].id, w.now)
		if u, err := w.ms[0].d.Claim(ip("10.0.0.1"), mac(1), w.now); err != nil {
			t.Fatal(err)
		} else {
			offset = 0 // right when it hears of it
			if err := w.say(u.Announce); err != nil {
				t.Fatal(err)
			}
			offset = was
		}
		w.claim(1, ip("10.0.0.2"), mac(2))
		w.now = w.now.Add(2 * time.Minute)
		known := w.ms[1].d.Known(w.now)
		offset = 0
		w.clocked(1, known, &offset)
		if _, err := w.ms[1].d.Keep(ip("10.0.0.2"), mac(2), w.now); err != nil {
			t.Fatal(err)
		}
		w.ms[1].d.Tick(w.now)
		w.wantHolder("10.0.0.1", 0, 1)
		if at := w.ms[1].d.OwnSince(w.ms[1].d.Own(w.now)[0]); w.now.Sub(at) != 2*time.Minute {
			t.Errorf("off by %v: held since %v ago, want 2m", was, w.now.Sub(at))
		}
		for range 6 * 50 { // nobody renews it
			w.now = w.now.Add(10 * time.Second)
			w.ms[1].d.Tick(w.now)
		}
		if _, ok := w.ms[1].d.Lookup(ip("10.0.0.1")); ok {
			t.Errorf("off by %v: never gone", was)
		}
	}
}

// TestClockSetSignsAgain: what was signed by a wrong clock is signed again as soon as the
// clock is set, not some time later.
func TestClockSetSignsAgain(t *testing.T) {
	for _, was := range []time.Duration{4 * time.Minute, time.Hour, -time.Hour} {
		w := newTown(t, 2)
		offset := was
		w.reborn(&offset)
		w.claim(0, ip("10.0.0.1"), mac(1))
		w.now = w.now.Add(time.Second)
		offset = 0
		w.ms[0].d.ClockSet(w.now)
		if err := w.say(w.ms[0].d.Tick(w.now).Announce); err != nil {
			t.Fatal(err)
		}
		w.wantHolder("10.0.0.1", 0, 1)
	}
}
