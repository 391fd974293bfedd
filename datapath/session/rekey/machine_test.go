package rekey

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// wantTick compares the work of a tick.
func wantTick(t *testing.T, m *Machine, now time.Duration, want ...Effect) {
	t.Helper()
	if diff := cmp.Diff(want, m.Tick(now)); diff != "" {
		t.Errorf("tick at %v (-want +got):\n%s", now, diff)
	}
}

func TestLowerBeginsAfterTheHour(t *testing.T) {
	for range 100 {
		m := New(true, time.Hour, 5*time.Second)
		if wait := m.Next() - 5*time.Second; wait > time.Hour || wait < 57*time.Minute {
			t.Fatalf("first rekey after %v, want 57 to 60 min", wait)
		}
	}
	m := New(true, time.Hour, 0)
	wantTick(t, m, m.Next()-1)
	now := m.Next()
	wantTick(t, m, now, Begin)
	if m.Newest != 1 {
		t.Errorf("rekey %d, want 1", m.Newest)
	}
	now += time.Second
	if diff := cmp.Diff([]Effect{Probe}, m.Done(now)); diff != "" {
		t.Error(diff)
	}
	wantTick(t, m, now+confirmInterval-1)
	wantTick(t, m, now+confirmInterval, Probe)
	wantTick(t, m, now+2*confirmInterval, Probe)
	now += time.Second
	if diff := cmp.Diff([]Effect{Stop}, m.Confirmed(now)); diff != "" {
		t.Error(diff)
	}
	wantTick(t, m, now+PreviousKept-1)
	wantTick(t, m, now+PreviousKept, Wipe)
	if wait := m.Next() - now; wait < 57*time.Minute {
		t.Errorf("next rekey after %v, want 57 to 60 min", wait)
	}
}

func TestHigherBeginsNothingAndAsks(t *testing.T) {
	m := New(false, time.Hour, 0)
	if m.Next() != Never {
		t.Errorf("the higher end has something to do at %v", m.Next())
	}
	m.Soon(time.Minute)
	wantTick(t, m, time.Minute, Request)
	wantTick(t, m, time.Minute+requestInterval-1)
	wantTick(t, m, time.Minute+requestInterval, Request)
	if _, taken := m.Flight(1, 2*time.Minute); !taken {
		t.Fatal("a flight of a new rekey was refused")
	}
	wantTick(t, m, 2*time.Minute+requestInterval)
	m.Done(2*time.Minute + 6*time.Second)
	m.Confirmed(2*time.Minute + 7*time.Second)
	wantTick(t, m, 2*time.Minute+7*time.Second+PreviousKept, Wipe)
	if m.Next() != Never {
		t.Errorf("asks again at %v for keys that are new", m.Next())
	}
}

func TestAskIsHeardOnceAndOnlyForKeysInUse(t *testing.T) {
	m := New(true, time.Hour, 0)
	if m.Asked(7, time.Minute) {
		t.Error("an ask for other keys was taken")
	}
	if !m.Asked(0, time.Second) || m.Next() != MinInterval {
		t.Errorf("next is %v after an early ask, want %v", m.Next(), MinInterval)
	}
	m.Soon(MinInterval) // both ends find their counters high
	wantTick(t, m, MinInterval, Begin)
	m.Asked(0, MinInterval+time.Second)
	wantTick(t, m, MinInterval+time.Second)
	m.Done(MinInterval + time.Second)
	m.Confirmed(MinInterval + time.Second)
	if m.Asked(0, MinInterval+2*time.Second) {
		t.Error("an ask for keys that were replaced was taken")
	}
	if wait := m.Next() - MinInterval; wait < PreviousKept {
		t.Errorf("something is due after %v", wait)
	}
}

func TestFailedRekeyIsSaidOnceAndRetried(t *testing.T) {
	m := New(true, time.Hour, 0)
	now := m.Next()
	wantTick(t, m, now, Begin)
	now += HandshakeTimeout
	wantTick(t, m, now, Expire)
	if diff := cmp.Diff([]Effect{Stop, Failed}, m.Failed(now)); diff != "" {
		t.Error(diff)
	}
	if wait := m.Next() - now; wait > RetryInterval || wait < RetryInterval*9/10 {
		t.Errorf("again after %v, want %v", wait, RetryInterval)
	}
	if !m.Asked(0, now) || m.Next() < now+RetryInterval*9/10 {
		t.Error("an ask makes the wait after a failure shorter")
	}
	now = m.Next()
	wantTick(t, m, now, Begin)
	if m.Newest != 2 {
		t.Errorf("rekey %d, want 2", m.Newest)
	}
	if diff := cmp.Diff([]Effect{Stop}, m.Failed(now)); diff != "" {
		t.Error(diff)
	}
	now = m.Next()
	m.Tick(now)
	m.Done(now)
	if diff := cmp.Diff([]Effect{Stop, Recovered}, m.Confirmed(now)); diff != "" {
		t.Error(diff)
	}
}

// TestLowerNeverGivesUpKeysThatBothHave: it only probes less often.
func TestLowerNeverGivesUpKeysThatBothHave(t *testing.T) {
	m := New(true, time.Hour, 0)
	now := m.Next()
	m.Tick(now)
	m.Done(now)
	wantTick(t, m, now+HandshakeTimeout, Stop, Probe, Failed)
	for end := now + 5*time.Hour; now < end; now = m.Next() {
		if work := m.Tick(now); slices.Contains(work, Begin) || slices.Contains(work, Forget) {
			t.Fatalf("%v at %v", work, now)
		}
	}
}

func TestGenerationsInUseAreSkipped(t *testing.T) {
	m := New(true, time.Second, 0)
	m.Newest, m.Current, m.previous, m.pending = 254, 255, 0, 255
	if got := m.free(); got != 257 {
		t.Errorf("next rekey is %d, want 257: 255 and 256 have generations in use", got)
	}
	higher := New(false, time.Second, 0)
	higher.Current, higher.Newest, higher.pending = 3, 3, 3
	if _, taken := higher.Flight(259, time.Minute); taken {
		t.Error("a rekey whose generation is in use was begun")
	}
	if _, taken := higher.Flight(260, time.Minute); !taken {
		t.Error("a rekey whose generation is in no use was refused")
	}
	if _, taken := higher.Flight(261, time.Minute+higher.gap()-1); taken {
		t.Error("a further rekey was begun at once")
	}
	if _, taken := higher.Flight(259, 2*time.Minute); taken {
		t.Error("a flight of an older rekey was taken")
	}
}
