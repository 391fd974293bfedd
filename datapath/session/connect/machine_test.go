package connect

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func wantWork(t *testing.T, when string, got []Effect, want ...Effect) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", when, diff)
	}
}

// TestSearchOutlivesNewerParameters: with the same credentials the search goes on, and its
// time ends 20 s after it began.
func TestSearchOutlivesNewerParameters(t *testing.T) {
	m := NewMachine(false)
	if m.Next() != never {
		t.Fatalf("something is due at %v before there is a peer", m.Next())
	}
	now := time.Hour
	wantWork(t, "first", m.Connect(now, "u", "p"), StopHandshake, StartSearch, StartHandshake)
	if m.Next() != now+Timeout {
		t.Errorf("the end is due at %v, want %v", m.Next(), now+Timeout)
	}
	for second := 1; second <= 14; second++ {
		at := now + time.Duration(second)*time.Second
		wantWork(t, "newer", m.Connect(at, "u", "p"), StopHandshake, UpdateSearch, StartHandshake)
		if want := min(at+Timeout, now+maxTime); m.Next() != want {
			t.Errorf("after %d s the end is due at %v, want %v", second, m.Next(), want)
		}
	}
	wantWork(t, "another peer", m.Connect(now+15*time.Second, "u", "q"), StopHandshake, StartSearch, StartHandshake)
	end := now + 15*time.Second + Timeout
	wantWork(t, "before the end", m.Tick(end-1, false))
	wantWork(t, "the end", m.Tick(end, false), Expire)
}

func TestKeysAreProbedUntilConfirmed(t *testing.T) {
	m := NewMachine(true)
	m.Connect(0, "u", "p")
	now := time.Second
	wantWork(t, "keyed", m.Keyed(now), Probe)
	for range 5 {
		wantWork(t, "too early", m.Tick(now+confirmInterval-1, true))
		now += confirmInterval
		wantWork(t, "due", m.Tick(now, true), Probe)
	}
}

// TestTURNIsForLatePaths: an allocation is asked for when there is no path in time, again
// when it is lost, and kept for a further search.
func TestTURNIsForLatePaths(t *testing.T) {
	m := NewMachine(true)
	m.Connect(0, "u", "p")
	if m.Next() != TURNAfter {
		t.Fatalf("something is due at %v, want %v", m.Next(), TURNAfter)
	}
	wantWork(t, "late", m.Tick(TURNAfter, false), AcquireTURN)
	wantWork(t, "newer while acquiring", m.Connect(4*time.Second, "u", "p"), StopHandshake, UpdateSearch, PermitTURN, StartHandshake)
	wantWork(t, "refused", m.TURNLost(5*time.Second), ReleaseTURN)
	wantWork(t, "again", m.Tick(5*time.Second+TURNRetry, false), AcquireTURN)
	wantWork(t, "ready", m.TURNReady(), SearchTURN, AnnounceTURN)
	wantWork(t, "another peer", m.Connect(7*time.Second, "v", "p"), StopHandshake, StartSearch, SearchTURN, PermitTURN, StartHandshake)
	wantWork(t, "lost", m.TURNLost(8*time.Second), ReleaseTURN)
	wantWork(t, "a path was found", m.Tick(8*time.Second+TURNRetry, true))
	if m.Next() != 7*time.Second+Timeout {
		t.Errorf("something is due at %v, want the end at %v only", m.Next(), 7*time.Second+Timeout)
	}

	none := NewMachine(false)
	none.Connect(0, "u", "p")
	if none.Next() != Timeout {
		t.Errorf("something is due at %v without servers, want %v", none.Next(), Timeout)
	}
}
