package contact_test

import (
	"fmt"
	"testing"
	"time"

	"evio/overlay/contact"
)

// further lets the session of our attempt 0 find other parameters.
func (s *script) further(text string) []contact.Effect {
	s.t.Helper()
	fx, err := s.c.LocalParameters(attempt(0), []byte(text), s.now)
	if err != nil {
		s.t.Fatal(err)
	}
	return fx
}

// bindingOf returns the binding of the first ConnectSession.
func bindingOf(t *testing.T, fx []contact.Effect) [32]byte {
	t.Helper()
	for _, e := range fx {
		if c, ok := e.(contact.ConnectSession); ok {
			return c.Binding
		}
	}
	t.Fatal("nothing is connected")
	return [32]byte{}
}

func TestFurtherParameters(t *testing.T) {
	s := newScript(t)
	s.want(s.c.Online(s.now), "open 0")
	s.want(s.parameters(0), "send 0")
	first := s.receive(5)
	s.want(first, "connect 0 to 5 theirs")
	s.pass(2 * time.Second)
	s.now = s.now.Add(time.Second)
	second := s.further("ours and relayed")
	s.want(second, "connect 0 to 5 theirs")
	if bindingOf(t, first) == bindingOf(t, second) {
		t.Error("the binding does not cover the further parameters")
	}
	s.want(s.c.Tick(s.now), "send 3000")
	s.want(s.further("ours and relayed")) // as announced
	s.want(s.pass(1300*time.Millisecond), "send 3000")
	s.want(s.receive(3600), "connect 0 to 3600 theirs")
	s.want(s.c.Established(attempt(0), s.now))
	s.want(s.further("too late"))
	if st := s.c.Status(); st.Serving != attempt(3000) || st.Remote != attempt(3600) {
		t.Errorf("serving %d with %d", st.Serving, st.Remote)
	}
	s.want(s.receive(3600))
	s.want(s.c.Closed(attempt(0), nil, s.now))
}

func TestFurtherParametersBeforeThePeerIsHeard(t *testing.T) {
	s := newScript(t)
	s.c.Online(s.now)
	s.parameters(0)
	s.now = s.now.Add(500 * time.Millisecond)
	s.want(s.further("first"))
	s.want(s.c.Tick(s.now), "send 500")
	s.want(s.further("second")) // a second later
	s.want(s.further("third"))
	s.want(s.pass(1100*time.Millisecond), "send 1500")
	s.want(s.receive(5), "connect 0 to 5 theirs")
}

// The session is already established when further parameters are found, here or at the
// peer: nothing is sent to the peer.
func TestFurtherParametersComeTooLate(t *testing.T) {
	s := newScript(t)
	s.c.Online(s.now)
	s.parameters(0)
	s.want(s.receive(5), "connect 0 to 5 theirs")
	s.pass(3 * time.Second)
	s.now = s.now.Add(time.Second)
	s.want(s.further("more"), "connect 0 to 5 theirs")
	s.c.Unconnected(attempt(0))
	s.want(s.c.Established(attempt(0), s.now))
	if st := s.c.Status(); st.Serving != attempt(0) || st.Remote != attempt(5) {
		t.Errorf("serving %d with %d", st.Serving, st.Remote)
	}
	s.want(s.pass(time.Hour))
}

// The peer established what this node has left: it answers the newer attempt by one of
// its own, which the same session takes.
func TestFurtherParametersCrossEstablished(t *testing.T) {
	s := newScript(t)
	s.c.Online(s.now)
	s.parameters(0)
	s.receive(5)
	s.pass(3 * time.Second)
	s.now = s.now.Add(time.Second)
	s.want(s.further("more"), "connect 0 to 5 theirs")
	s.want(s.c.Tick(s.now), "send 4000")
	s.pass(time.Second)
	s.want(s.receive(4200), "connect 0 to 4200 theirs")
	s.want(s.c.Established(attempt(0), s.now))
	s.want(s.pass(time.Hour))
}

// News of the peer do not hold up what is to be sent at once.
func TestFurtherParametersAtBothEnds(t *testing.T) {
	s := newScript(t)
	s.c.Online(s.now)
	s.parameters(0)
	s.receive(5)
	s.pass(3 * time.Second)
	s.now = s.c.NextTick().Add(100 * time.Millisecond)
	s.c.Tick(s.now)
	s.now = s.now.Add(100 * time.Millisecond)
	own := uint64(s.now.Sub(epoch).Milliseconds())
	s.want(s.further("more"), "connect 0 to 5 theirs")
	s.want(s.receive(own), fmt.Sprintf("connect 0 to %d theirs", own))
	s.want(s.c.Tick(s.now), fmt.Sprintf("send %d", own))
}
