package contact_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"evio/overlay/contact"
)

// script drives one machine by hand; node 1 is us, node 2 the peer.
type script struct {
	t   *testing.T
	c   *contact.Contact
	now time.Time
}

func newScript(t *testing.T) *script {
	return &script{t: t, now: epoch, c: contact.New(contact.Config{
		Key: key(1), Overlay: overlay, Peer: id(2), Rand: rand.New(rand.NewPCG(1, 2)),
	})}
}

// want compares effects with their short form; attempts of ours are written as
// milliseconds since epoch.
func (s *script) want(got []contact.Effect, want ...string) {
	s.t.Helper()
	var lines []string
	short := func(n uint64) uint64 { return n - uint64(epoch.UnixMilli()) }
	for _, e := range got {
		switch e := e.(type) {
		case contact.OpenSession:
			lines = append(lines, fmt.Sprintf("open %d", short(e.Attempt)))
		case contact.ConnectSession:
			lines = append(lines, fmt.Sprintf("connect %d to %d %s", short(e.Attempt), short(e.Remote), e.Parameters))
		case contact.SendEnvelope:
			lines = append(lines, fmt.Sprintf("send %d", short(binary.BigEndian.Uint64(e.Envelope[33:]))))
		case contact.CloseSession:
			lines = append(lines, fmt.Sprintf("close %d", short(e.Attempt)))
		}
	}
	if g, w := strings.Join(lines, ", "), strings.Join(want, ", "); g != w {
		s.t.Fatalf("at %v: got [%s], want [%s]", s.now.Sub(epoch), g, w)
	}
}

func (s *script) wantState(want contact.State) {
	s.t.Helper()
	if got := s.c.Status().State; got != want {
		s.t.Fatalf("state %v, want %v", got, want)
	}
}

func attempt(n uint64) uint64 { return n + uint64(epoch.UnixMilli()) }

func (s *script) parameters(n uint64) []contact.Effect {
	s.t.Helper()
	fx, err := s.c.LocalParameters(attempt(n), []byte("ours"), s.now)
	if err != nil {
		s.t.Fatal(err)
	}
	return fx
}

// receive lets the peer's envelope of its attempt n arrive.
func (s *script) receive(n uint64) []contact.Effect {
	s.t.Helper()
	b := sign(s.t, 2, contact.Envelope{
		To: id(1), Attempt: attempt(n), Expiry: s.now.Add(contact.Lifetime), Parameters: []byte("theirs"),
	})
	e, body, err := contact.Open(b, overlay, id(1), s.now, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return s.c.Received(e, body, s.now)
}

// pass lets time go by, ticking when it is asked for, and returns the effects.
func (s *script) pass(d time.Duration) []contact.Effect {
	end := s.now.Add(d)
	var fx []contact.Effect
	for {
		next := s.c.NextTick()
		if next.IsZero() || next.After(end) {
			s.now = end
			return fx
		}
		if next.Before(s.now) {
			s.t.Fatalf("NextTick is in the past by %v", s.now.Sub(next))
		}
		s.now = next
		fx = append(fx, s.c.Tick(s.now)...)
	}
}

// establish brings the machine to service with our attempt 0 and the peer's 5.
func (s *script) establish() {
	s.t.Helper()
	s.want(s.c.Online(s.now), "open 0")
	s.want(s.parameters(0), "send 0")
	s.want(s.receive(5), "connect 0 to 5 theirs")
	s.want(s.c.Established(attempt(0), s.now))
	s.wantState(contact.Serving)
}

func TestFirstContact(t *testing.T) {
	s := newScript(t)
	s.wantState(contact.Idle)
	s.want(s.c.Online(s.now), "open 0")
	s.wantState(contact.Gathering)
	s.want(s.receive(5))
	s.want(s.parameters(0), "connect 0 to 5 theirs", "send 0")
	s.wantState(contact.Connecting)
	s.want(s.receive(5))
	s.want(s.receive(4))
	s.want(s.c.Established(attempt(0), s.now))
	s.want(s.receive(5))
	s.want(s.pass(time.Hour))
	if st := s.c.Status(); st.Serving != attempt(0) || st.Remote != attempt(5) {
		t.Errorf("serving %d with %d", st.Serving, st.Remote)
	}
	s.want(s.c.Stop(), "close 0")
	s.want(s.c.Online(s.now))
	s.want(s.receive(9))
	s.wantState(contact.Stopped)
}

func TestResends(t *testing.T) {
	s := newScript(t)
	s.c.Online(s.now)
	s.parameters(0)
	var pauses []time.Duration
	for range 12 {
		before := s.now
		s.now = s.c.NextTick()
		s.want(s.c.Tick(s.now), "send 0")
		pauses = append(pauses, s.now.Sub(before))
	}
	for i, want := range []time.Duration{1, 1, 1, 1, 1, 2, 4, 8, 16, 30, 30, 30} {
		want *= time.Second
		if got := pauses[i]; got < max(time.Second, want*3/4) || got > want*5/4 {
			t.Errorf("pause %d is %v, want about %v", i, got, want)
		}
	}
}

func TestOfflineIsQuietAndClosesNothing(t *testing.T) {
	s := newScript(t)
	s.establish()
	s.c.Offline(s.now)
	s.want(s.pass(time.Hour))
	s.wantState(contact.Serving)
	s.want(s.c.Closed(attempt(0), errors.New("dead"), s.now), "open 3600000")
	s.want(s.parameters(3600000), "send 3600000")
	s.want(s.pass(time.Hour), "send 3600000", "send 3600000", "send 3600000", "close 3600000")
	s.wantState(contact.Idle)
	s.want(s.c.Online(s.now), "open 7200000")
}

func TestOldParametersAreRenewed(t *testing.T) {
	s := newScript(t)
	s.want(s.c.Online(s.now), "open 0")
	s.parameters(0)
	s.pass(time.Hour)
	s.want(s.receive(3600000-1), "close 0", "open 3600000")
	s.want(s.parameters(3600000), "connect 3600000 to 3599999 theirs", "send 3600000")
}

func TestAnswersPeerNotSeenOnline(t *testing.T) {
	s := newScript(t)
	s.want(s.receive(5), "open 0")
	s.want(s.parameters(0), "connect 0 to 5 theirs", "send 0")
	s.want(s.c.Established(attempt(0), s.now))
}

func TestAnswersAgainWhoRepeats(t *testing.T) {
	s := newScript(t)
	s.want(s.receive(5), "open 0")
	s.parameters(0)
	s.want(s.pass(time.Minute), "send 0", "send 0", "send 0")
	s.want(s.pass(time.Hour))
	s.want(s.receive(5), "send 0")
}

func TestOnlineEndsBackOff(t *testing.T) {
	s := newScript(t)
	s.c.Online(s.now)
	s.pass(2 * time.Second)
	s.want(s.c.Closed(attempt(0), errors.New("time-out"), s.now))
	s.want(s.c.Online(s.now)) // said again only
	s.c.Offline(s.now)
	s.want(s.c.Online(s.now), "open 2000")
}

func TestNewerRemoteBeforeEstablished(t *testing.T) {
	s := newScript(t)
	s.c.Online(s.now)
	s.parameters(0)
	s.want(s.receive(5), "connect 0 to 5 theirs")
	s.pass(500 * time.Millisecond)
	s.want(s.receive(600)) // not faster than one a second
	s.want(s.receive(700))
	s.want(s.pass(500*time.Millisecond), "connect 0 to 700 theirs", "send 0")
	s.want(s.c.Established(attempt(0), s.now))
}

// The session was established before it was given the newer attempt of the peer: it
// serves the older one, so the newer one is answered.
func TestNewerRemoteComesTooLate(t *testing.T) {
	s := newScript(t)
	s.c.Online(s.now)
	s.parameters(0)
	s.want(s.receive(5), "connect 0 to 5 theirs")
	s.pass(10 * time.Second)
	s.want(s.receive(9000), "connect 0 to 9000 theirs", "send 0")
	s.c.Unconnected(attempt(7)) // another one
	s.c.Unconnected(attempt(0))
	s.pass(10 * time.Second)
	s.want(s.receive(19000), "connect 0 to 19000 theirs", "send 0")
	s.c.Unconnected(attempt(0))
	s.c.Unconnected(attempt(0))
	s.want(s.c.Established(attempt(0), s.now), "open 20000")
	if st := s.c.Status(); st.Serving != attempt(0) || st.Remote != attempt(5) {
		t.Errorf("serving %d with %d", st.Serving, st.Remote)
	}
	s.c.Unconnected(attempt(0)) // too late
	s.want(s.parameters(20000), "connect 20000 to 19000 theirs", "send 20000")
	s.want(s.c.Established(attempt(20000), s.now))
}

func TestReplacement(t *testing.T) {
	s := newScript(t)
	s.establish()
	s.pass(20 * time.Second)
	s.want(s.receive(19000), "open 20000")
	s.wantState(contact.Replacing)
	s.want(s.parameters(20000), "connect 20000 to 19000 theirs", "send 20000")
	s.want(s.c.Established(attempt(20000), s.now))
	s.wantState(contact.Serving)
	s.want(s.pass(time.Second))
	s.want(s.receive(19000)) // late
	s.want(s.pass(1999 * time.Millisecond))
	s.want(s.pass(time.Millisecond), "close 0")
	s.want(s.c.Closed(attempt(0), nil, s.now))
	s.want(s.pass(time.Hour))
}

func TestReplacementFails(t *testing.T) {
	s := newScript(t)
	s.establish()
	s.pass(20 * time.Second)
	s.want(s.receive(19000), "open 20000")
	s.parameters(20000)
	s.pass(500 * time.Millisecond)
	s.want(s.c.Closed(attempt(20000), errors.New("time-out"), s.now))
	s.wantState(contact.Serving)
	s.want(s.pass(time.Minute))
	// The peer goes on asking: it has no session.
	s.want(s.receive(19000), "open 80500")
}

func TestReplacedAgainAtOnce(t *testing.T) {
	s := newScript(t)
	s.establish()
	s.pass(20 * time.Second)
	s.want(s.receive(19000), "open 20000")
	s.parameters(20000)
	s.want(s.receive(19500)) // too soon after the other to be connected
	s.want(s.c.Established(attempt(20000), s.now))
	s.want(s.pass(time.Second), "open 21000")
	s.want(s.parameters(21000), "connect 21000 to 19500 theirs", "send 21000")
	s.want(s.c.Established(attempt(21000), s.now), "close 0")
	s.want(s.c.Closed(attempt(20000), nil, s.now))
	s.want(s.pass(time.Hour))
	s.wantState(contact.Serving)
}

func TestServingDiesWhileReplaced(t *testing.T) {
	s := newScript(t)
	s.establish()
	s.pass(20 * time.Second)
	s.want(s.receive(19000), "open 20000")
	s.want(s.c.Closed(attempt(0), errors.New("dead"), s.now))
	s.want(s.parameters(20000), "connect 20000 to 19000 theirs", "send 20000")
	s.want(s.c.Stop(), "close 20000")
}

func TestSessionsThatDieAtOnceBackOff(t *testing.T) {
	s := newScript(t)
	s.establish()
	s.pass(3 * time.Second)
	s.want(s.c.Closed(attempt(0), errors.New("dead"), s.now))
	s.wantState(contact.Idle)
	if got := s.c.Status().Failures; got != 1 {
		t.Errorf("%d failures, want 1", got)
	}
	if pause := s.c.NextTick().Sub(s.now); pause < 750*time.Millisecond {
		t.Errorf("next attempt after %v", pause)
	}
}

func TestStateString(t *testing.T) {
	for s := contact.Idle; s <= contact.Stopped; s++ {
		if s.String() == "unknown" {
			t.Errorf("state %d has no name", s)
		}
	}
}

func TestRepeatsDoNotHurry(t *testing.T) {
	s := newScript(t)
	s.c.Online(s.now)
	s.parameters(0)
	s.receive(5)
	s.pass(10 * time.Second)
	next := s.c.NextTick()
	s.want(s.receive(5))
	if got := s.c.NextTick(); !got.Equal(next) {
		t.Errorf("a repeated envelope moved the next tick by %v", got.Sub(next))
	}
}

// The clocks of both engines were a day ahead and were set: the peer's numbers
// begin anew below those that are known.
func TestPeersClockSetBack(t *testing.T) {
	s := newScript(t)
	s.now = epoch.Add(24 * time.Hour)
	day := uint64(24 * time.Hour / time.Millisecond)
	s.want(s.c.Online(s.now), fmt.Sprintf("open %d", day))
	s.parameters(day)
	s.receive(day + 5)
	s.want(s.c.Established(attempt(day), s.now))
	s.now = epoch
	s.want(s.receive(1000))
	if s.c.NextTick().IsZero() {
		t.Error("no answer to a peer whose clock was set back")
	}
}

func TestDeadPeer(t *testing.T) {
	s := newScript(t)
	s.establish()
	s.pass(20 * time.Second)
	s.want(s.c.Closed(attempt(0), errors.New("peer is dead"), s.now), "open 20000")
	// The peer's attempt was used up by the dead session …
	s.want(s.parameters(20000), "send 20000")
	// … unless it still asks with it, having never got that session.
	s.want(s.receive(5), "connect 20000 to 5 theirs")
	s.want(s.receive(20500))
	s.want(s.pass(time.Second), "connect 20000 to 20500 theirs", "send 20000")
}

// The peer goes on asking with the attempt that the session was made with: it has lost
// the session, or never got it, though this end has established it.
func TestSessionThatThePeerHasNotGot(t *testing.T) {
	s := newScript(t)
	s.establish()
	s.now = s.now.Add(1900 * time.Millisecond)
	s.want(s.receive(5)) // it may have been sent before
	s.now = s.now.Add(100 * time.Millisecond)
	s.want(s.receive(5), "open 2000")
	s.wantState(contact.Replacing)
	s.want(s.parameters(2000), "connect 2000 to 5 theirs", "send 2000")
	s.want(s.c.Established(attempt(2000), s.now))
	s.want(s.pass(3*time.Second), "close 0")
	s.wantState(contact.Serving)
	s.want(s.pass(time.Hour))
}

func TestFailuresBackOff(t *testing.T) {
	s := newScript(t)
	s.c.Online(s.now)
	n := uint64(0)
	for i, want := range []time.Duration{1, 2, 4, 8, 16, 30, 30} {
		want *= time.Second
		began := s.now
		s.want(s.c.Closed(attempt(n), errors.New("no parameters"), s.now))
		at := s.c.NextTick()
		s.now = at
		n = uint64(at.UnixMilli() - epoch.UnixMilli())
		if pause := at.Sub(began); pause < want*3/4 || pause > want*5/4 {
			t.Errorf("pause %d is %v, want about %v", i, pause, want)
		}
		s.want(s.c.Tick(s.now), fmt.Sprintf("open %d", n))
	}
}

func TestIllegalEvents(t *testing.T) {
	s := newScript(t)
	s.establish()
	s.want(s.c.Established(attempt(7), s.now))
	s.want(s.c.Closed(attempt(7), nil, s.now))
	s.want(s.parameters(7))
	if _, err := s.c.LocalParameters(attempt(0), make([]byte, contact.MaxParameters+1), s.now); err == nil {
		t.Error("parameters that fit no envelope were taken")
	}
	e := envelope(1, attempt(9), "")
	e.From = id(3)
	s.want(s.c.Received(e, nil, s.now))
	s.wantState(contact.Serving)
}
