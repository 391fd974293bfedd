package network

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestClosedPortIsNoLoss: what comes for a peer whose session has just ended is counted,
// but not as something that a port refused.
func TestClosedPortIsNoLoss(t *testing.T) {
	var n network
	n.refused(fmt.Errorf("write: %w", os.ErrClosed), &n.drops.linkWrite)
	n.refused(errors.New("no room"), &n.drops.linkWrite)
	want := map[string]uint64{"no-session": 1, "link-write": 1}
	if diff := cmp.Diff(want, n.drops.byCause()); diff != "" {
		t.Error(diff)
	}
}
