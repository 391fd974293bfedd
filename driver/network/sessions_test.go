package network

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"evio/datapath/session"
	"evio/overlay"
)

// ears takes the last event of a session.
type ears struct {
	overlay.SessionEvents
	closed error
}

func (e *ears) Closed(err error) { e.closed = err }

// The overlay knows errors of sessions by its own names, and tells them in the words of
// the session.
func TestErrorsOfSessions(t *testing.T) {
	names := []error{overlay.ErrEstablished, overlay.ErrClosed, overlay.ErrSecret}
	for err, want := range map[error]error{
		session.ErrEstablished: overlay.ErrEstablished,
		session.ErrClosed:      overlay.ErrClosed,
		session.ErrSecret:      overlay.ErrSecret,
		session.ErrPeerDead:    nil,
	} {
		told := fmt.Errorf("%w: and what to do", err)
		var heard ears
		(&events{n: &network{}, up: &heard}).Closed(nil, told)
		for _, name := range names {
			if errors.Is(heard.closed, name) != (name == want) { //nolint:errorlint // these very ones
				t.Errorf("%v is %v: %v", told, name, errors.Is(heard.closed, name))
			}
		}
		if !errors.Is(heard.closed, err) || heard.closed.Error() != told.Error() {
			t.Errorf("%v has become %v", told, heard.closed)
		}
	}
	n := &network{}
	left := fmt.Errorf("%w: %w", session.ErrUnproved, session.ErrClosed)
	(&events{n: n, account: "b@example.org", up: &ears{}}).Closed(nil, left)
	if f := n.guesses.Faults("blue", time.Now()); len(f) != 1 {
		t.Errorf("a session closed here whose proof was left undone: faults %q", f)
	}
	if translateError(nil) != nil {
		t.Error("no error has become one")
	}
}
