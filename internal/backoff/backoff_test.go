package backoff

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestExponential(t *testing.T) {
	e := Exponential{time.Second, 30 * time.Second}
	last := time.Duration(0)
	for n, want := range []time.Duration{1, 2, 4, 8, 16, 30, 30, 30} {
		last = e.After(last)
		if got := e.Pause(n); got != want*time.Second || last != got {
			t.Errorf("pause %d is %v, and %v after the one before, want %v", n, got, last, want*time.Second)
		}
	}
	constant := Exponential{time.Second, time.Second}
	if constant.Pause(0) != time.Second || constant.After(0) != time.Second || constant.After(time.Second) != time.Second {
		t.Error("a series of one pause changes")
	}
}

// TestPausesGrow: whatever the series and the number, a pause is within its bounds and not
// shorter than the one before.
func TestPausesGrow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := Exponential{First: time.Duration(rapid.Int64Range(1, math.MaxInt64).Draw(t, "first"))}
		e.Last = time.Duration(rapid.Int64Range(int64(e.First), math.MaxInt64).Draw(t, "last"))
		n := rapid.IntRange(0, 1000).Draw(t, "n")
		pause, next := e.Pause(n), e.Pause(n+1)
		if pause < e.First || next < pause || next > e.Last || e.After(pause) != next {
			t.Fatalf("%v: %v, then %v or %v", e, pause, next, e.After(pause))
		}
	})
}

func TestSpread(t *testing.T) {
	for random, want := range map[float64]time.Duration{0: 750 * time.Millisecond, 0.5: time.Second, 1: 1250 * time.Millisecond} {
		if got := Spread(time.Second, 0.75, 1.25, random); got != want {
			t.Errorf("%v for %v, want %v", got, random, want)
		}
	}
}
