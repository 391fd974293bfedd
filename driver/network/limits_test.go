package network

import (
	"testing"
	"time"

	"evio/datapath/session"
	"evio/overlay/control"
)

// The overlay's largest message must fit the data path's largest control frame: one
// that does not would be repeated for ever, before all others.
func TestLargestMessageFitsASession(t *testing.T) {
	frames, err := control.New().Send(control.Announce, make([]byte, control.MaxPayload), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range frames {
		if len(f) > session.MaxControl {
			t.Errorf("a control frame of %d bytes, a session takes %d", len(f), session.MaxControl)
		}
	}
}
