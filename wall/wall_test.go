package wall

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// TestAtIsWallTime: what At returns differs by what the clock shows, not by what has
// passed.
func TestAtIsWallTime(t *testing.T) {
	now := time.Now()
	if at := At(now); at != now.Round(0) {
		t.Errorf("At(%v) is %v, want the same moment without a monotonic reading", now, at)
	}
	if At(now) == now { //nolint:staticcheck // Equal leaves out what this is about
		t.Error("time.Now has no monotonic reading: the test sees nothing")
	}
}

// TestMillisecondsAndBack: a time survives a message to the millisecond, and one before
// 1970 is no large number.
func TestMillisecondsAndBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ms := rapid.Uint64Range(0, 1<<45).Draw(t, "ms")
		if got := Milliseconds(FromMilliseconds(ms)); got != ms {
			t.Fatalf("%d became %d", ms, got)
		}
	})
	before := time.Date(1960, 1, 1, 0, 0, 0, 0, time.UTC)
	if Milliseconds(before) != 0 || Nanoseconds(before) != 0 {
		t.Errorf("a time before 1970 is %d ms, %d ns, want 0", Milliseconds(before), Nanoseconds(before))
	}
}

// TestStepsSeesWhatWasSet: every step of a second or more is seen once, by its size, and
// nothing else is, however much time passes between two looks.
func TestStepsSeesWhatWasSet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var offset time.Duration
		s := Steps{Clock: func(now time.Time) time.Time { return now.Round(0).Add(offset) }}
		now := time.Now()
		if by := s.Look(now); by != 0 {
			t.Fatalf("the first look sees %v", by)
		}
		for range rapid.IntRange(1, 20).Draw(t, "looks") {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "passed")))
			set := time.Duration(rapid.Int64Range(-int64(2*time.Hour), int64(2*time.Hour)).Draw(t, "set"))
			offset += set
			want := set
			if set.Abs() < step {
				want = 0
			}
			if by := s.Look(now); by != want {
				t.Fatalf("set by %v: seen %v", set, by)
			}
		}
	})
}

// TestWatch: who watches hears of each step within half a second, once.
func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var offset atomic.Int64
		var heard []time.Duration
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			Watch(ctx, func(now time.Time) time.Time { return now.Add(time.Duration(offset.Load())) }, func(by time.Duration) { heard = append(heard, by) })
		}()
		for _, to := range []time.Duration{0, time.Hour, time.Hour + time.Millisecond, -time.Hour} {
			synctest.Wait()
			offset.Store(int64(to))
			<-time.After(lookEvery)
			<-time.After(lookEvery)
			synctest.Wait()
		}
		if want := []time.Duration{time.Hour, -2*time.Hour - time.Millisecond}; !slices.Equal(heard, want) {
			t.Errorf("heard of %v, want %v", heard, want)
		}
		cancel()
		<-done
	})
}
