package session

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// wantTick compares the work of a tick.
func wantTick(t *testing.T, m *rekeying, now time.Duration, want ...rekeyEffect) {
	t.Helper()
	if diff := cmp.Diff(want, m.tick(now)); diff != "" {
		t.Errorf("tick at %v (-want +got):\n%s", now, diff)
	}
}

func TestLowerBeginsAfterTheHour(t *testing.T) {
	for range 100 {
		m := newRekeying(true, time.Hour, 5*time.Second)
		if wait := m.next() - 5*time.Second; wait > time.Hour || wait < 57*time.Minute {
			t.Fatalf("first rekey after %v, want 57 to 60 min", wait)
		}
	}
	m := newRekeying(true, time.Hour, 0)
	wantTick(t, m, m.next()-1)
	now := m.next()
	wantTick(t, m, now, rekeyBegin)
	if m.newest != 1 {
		t.Errorf("rekey %d, want 1", m.newest)
	}
	now += time.Second
	if diff := cmp.Diff([]rekeyEffect{rekeyProbe}, m.done(now)); diff != "" {
		t.Error(diff)
	}
	wantTick(t, m, now+rekeyConfirm-1)
	wantTick(t, m, now+rekeyConfirm, rekeyProbe)
	wantTick(t, m, now+2*rekeyConfirm, rekeyProbe)
	now += time.Second
	if diff := cmp.Diff([]rekeyEffect{rekeyStop}, m.confirmed(now)); diff != "" {
		t.Error(diff)
	}
	wantTick(t, m, now+previousKeysFor-1)
	wantTick(t, m, now+previousKeysFor, rekeyWipe)
	if wait := m.next() - now; wait < 57*time.Minute {
		t.Errorf("next rekey after %v, want 57 to 60 min", wait)
	}
}

func TestHigherBeginsNothingAndAsks(t *testing.T) {
	m := newRekeying(false, time.Hour, 0)
	if m.next() != never {
		t.Errorf("the higher end has something to do at %v", m.next())
	}
	m.soon(time.Minute)
	wantTick(t, m, time.Minute, rekeyRequest)
	wantTick(t, m, time.Minute+rekeyAsk-1)
	wantTick(t, m, time.Minute+rekeyAsk, rekeyRequest)
	if _, taken := m.flight(1, 2*time.Minute); !taken {
		t.Fatal("a flight of a new rekey was refused")
	}
	wantTick(t, m, 2*time.Minute+rekeyAsk)
	m.done(2*time.Minute + 6*time.Second)
	m.confirmed(2*time.Minute + 7*time.Second)
	wantTick(t, m, 2*time.Minute+7*time.Second+previousKeysFor, rekeyWipe)
	if m.next() != never {
		t.Errorf("asks again at %v for keys that are new", m.next())
	}
}

func TestAskIsHeardOnceAndOnlyForKeysInUse(t *testing.T) {
	m := newRekeying(true, time.Hour, 0)
	if m.asked(7, time.Minute) {
		t.Error("an ask for other keys was taken")
	}
	if !m.asked(0, time.Second) || m.next() != rekeyRest {
		t.Errorf("next is %v after an early ask, want %v", m.next(), rekeyRest)
	}
	m.soon(rekeyRest) // both ends find their counters high
	wantTick(t, m, rekeyRest, rekeyBegin)
	m.asked(0, rekeyRest+time.Second)
	wantTick(t, m, rekeyRest+time.Second)
	m.done(rekeyRest + time.Second)
	m.confirmed(rekeyRest + time.Second)
	if m.asked(0, rekeyRest+2*time.Second) {
		t.Error("an ask for keys that were replaced was taken")
	}
	if wait := m.next() - rekeyRest; wait < previousKeysFor {
		t.Errorf("something is due after %v", wait)
	}
}

func TestFailedRekeyIsSaidOnceAndRetried(t *testing.T) {
	m := newRekeying(true, time.Hour, 0)
	now := m.next()
	wantTick(t, m, now, rekeyBegin)
	now += rekeyTimeout
	wantTick(t, m, now, rekeyExpire)
	if diff := cmp.Diff([]rekeyEffect{rekeyStop, rekeyFailed}, m.failed(now)); diff != "" {
		t.Error(diff)
	}
	if wait := m.next() - now; wait > rekeyRetry || wait < rekeyRetry*9/10 {
		t.Errorf("again after %v, want %v", wait, rekeyRetry)
	}
	if !m.asked(0, now) || m.next() < now+rekeyRetry*9/10 {
		t.Error("an ask makes the wait after a failure shorter")
	}
	now = m.next()
	wantTick(t, m, now, rekeyBegin)
	if m.newest != 2 {
		t.Errorf("rekey %d, want 2", m.newest)
	}
	if diff := cmp.Diff([]rekeyEffect{rekeyStop}, m.failed(now)); diff != "" {
		t.Error(diff)
	}
	now = m.next()
	m.tick(now)
	m.done(now)
	if diff := cmp.Diff([]rekeyEffect{rekeyStop, rekeyHealed}, m.confirmed(now)); diff != "" {
		t.Error(diff)
	}
}

// TestLowerNeverGivesUpKeysThatBothHave: it only probes less often.
func TestLowerNeverGivesUpKeysThatBothHave(t *testing.T) {
	m := newRekeying(true, time.Hour, 0)
	now := m.next()
	m.tick(now)
	m.done(now)
	wantTick(t, m, now+rekeyTimeout, rekeyStop, rekeyProbe, rekeyFailed)
	for end := now + 5*time.Hour; now < end; now = m.next() {
		if work := m.tick(now); slices.Contains(work, rekeyBegin) || slices.Contains(work, rekeyForget) {
			t.Fatalf("%v at %v", work, now)
		}
	}
}

func TestGenerationsInUseAreSkipped(t *testing.T) {
	m := newRekeying(true, time.Second, 0)
	m.newest, m.current, m.previous, m.pending = 254, 255, 0, 255
	if got := m.free(); got != 257 {
		t.Errorf("next rekey is %d, want 257: 255 and 256 have generations in use", got)
	}
	higher := newRekeying(false, time.Second, 0)
	higher.current, higher.newest, higher.pending = 3, 3, 3
	if _, taken := higher.flight(259, time.Minute); taken {
		t.Error("a rekey whose generation is in use was begun")
	}
	if _, taken := higher.flight(260, time.Minute); !taken {
		t.Error("a rekey whose generation is in no use was refused")
	}
	if _, taken := higher.flight(261, time.Minute+higher.gap()-1); taken {
		t.Error("a further rekey was begun at once")
	}
	if _, taken := higher.flight(259, 2*time.Minute); taken {
		t.Error("a flight of an older rekey was taken")
	}
}
