package scenario

import (
	"fmt"
	"testing"
	"time"

	"evio/driver/status"
)

// SessionWith is the session of an overlay with an account, or nil.
func SessionWith(t *testing.T, s *Site, overlay, jid string) *status.Session {
	t.Helper()
	n := OverlayAt(t, s, overlay)
	for i := range n.Sessions {
		if n.Sessions[i].JID == jid {
			return &n.Sessions[i]
		}
	}
	return nil
}

// AwaitSession waits for an established session with an account.
func AwaitSession(t *testing.T, d time.Duration, s *Site, overlay, jid string) *status.Session {
	t.Helper()
	var session *status.Session
	Until(t, d, func() error {
		if session = SessionWith(t, s, overlay, jid); session == nil || session.State != "established" {
			return fmt.Errorf("%s has no session with %s in %s", s.Name(), jid, overlay)
		}
		return nil
	})
	return session
}

// Unchanged fails the test if the session with an account is not the same, on the same path.
func Unchanged(t *testing.T, s *Site, overlay, jid string, before *status.Session) {
	t.Helper()
	after := SessionWith(t, s, overlay, jid)
	path := before.Path
	if after != nil {
		path.LocalType = after.Path.LocalType // a young session learns from the peer's first answer that it is behind a NAT
	}
	if after == nil || !after.Established.Equal(before.Established) || after.Path != path || after.Moves != before.Moves {
		t.Errorf("%s: the session with %s was %+v and is %+v", s.Name(), jid, before, after)
	}
}
