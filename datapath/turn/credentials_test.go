package turn

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// TestCredentialsExpire has an allocation that is no longer handed out, but kept
// by its user until the server takes its credentials no longer.
func TestCredentialsExpire(t *testing.T) {
	s := serve(t, UDP, func(s *testServer) { s.secret = true })
	c := newClientWith(t, timing{refresh: time.Hour, linger: 50 * time.Millisecond}, s.client())
	old := c.acquire(t)
	old.made = old.made.Add(time.Minute - CredentialUse)
	if a := c.acquire(t); a != old {
		t.Error("another allocation before it is needed")
	}
	old.Release()
	old.made = old.made.Add(-time.Minute)
	young := c.acquire(t)
	if young == old {
		t.Fatal("the credentials expire soon")
	}
	if a := c.acquire(t); a != young {
		t.Error("a third allocation")
	}
	young.Release()
	if got := c.Status()[0]; got.Allocations != 2 || old.Err() != nil {
		t.Errorf("status %+v, the old one has ended by %v", got, old.Err())
	}
	s.expired.Store(true)
	old.suspect <- struct{}{}
	awaitDone(t, old)
	if !errors.Is(old.Err(), errExpired) || !isRefusal(old.Err()) {
		t.Errorf("ended by %v, want %v", old.Err(), errExpired)
	}
	if got := c.Status()[0]; got.State != Usable || got.Allocations != 1 {
		t.Errorf("status %+v, want a server that can be used", got)
	}
	old.Release()
	s.expired.Store(false)

	young.made = young.made.Add(-CredentialLife)
	third := c.acquire(t)
	defer third.Release()
	young.Release()
	awaitDone(t, young)
	if !errors.Is(young.Err(), ErrReleased) {
		t.Errorf("ended by %v, want %v", young.Err(), ErrReleased)
	}
}

// TestReasonOfExpiry has a single allocation whose credentials expire.
func TestReasonOfExpiry(t *testing.T) {
	s := serve(t, UDP, func(s *testServer) { s.secret = true })
	c := newClientWith(t, timing{refresh: time.Hour}, s.client())
	a := c.acquire(t)
	defer a.Release()
	a.made = a.made.Add(-CredentialLife)
	s.expired.Store(true)
	c.Suspect()
	awaitDone(t, a)
	const want = "the relayed address was lost: the credentials made of its secret are valid for 24 h and have expired"
	if got := c.Status()[0].Reason; !strings.HasPrefix(got, want) {
		t.Errorf("reason %q, want %q", got, want)
	}
}
