package network

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"evio/datapath/frame"
)

// TestClosedPortIsNoLoss: what comes for a peer whose session has just ended is counted,
// but not as something that a port refused.
func TestClosedPortIsNoLoss(t *testing.T) {
	var n network
	one, three := frame.Frame{Data: make([]byte, 60)}, frame.Frame{Data: make([]byte, 42+3000), Partial: true, Start: 34, Offset: 6, Kind: frame.UDP, Segment: 1000}
	n.refused(fmt.Errorf("write: %w", os.ErrClosed), &n.drops.linkWrite, one)
	n.refused(errors.New("no room"), &n.drops.linkWrite, one, three)
	want := map[string]uint64{"no-session": 1, "link-write": 4}
	if diff := cmp.Diff(want, n.drops.byCause()); diff != "" {
		t.Error(diff)
	}
}
