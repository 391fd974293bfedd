//go:build e2e

package hostile

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"evio/integration/scenario"
	"evio/integration/testbed"
)

// proxySeen is what an xmpp-proxy reports about itself.
type proxySeen struct {
	Connections, Secured, Bytes int
	Login                       bool
	Error                       string
	Messages, Altered           int
	Oldest                      time.Time
}

// said is a payload from or to a full JID.
type said struct{ JID, Payload string }

// accountSeen is what an xmpp-account reports about itself.
type accountSeen struct {
	JID       string
	Messages  []said
	Presences []said
}

// Parts of a presence extension and of an envelope (docs/PROTOCOL.md).
const (
	extensionKey = 3
	extensionIDs = 100
	envelopeFrom = 17
	envelopeKey  = 49
)

// peers runs the subcommand of evio at a site.
func peers(t *testing.T, s *scenario.Site, args ...string) string {
	t.Helper()
	out, err := s.Run(scenario.Within(t, 10*time.Second), append([]string{filepath.Join(testbed.SharedDir, "evio"), "peers"}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// peersLine is what a site's `evio peers list` says of an account: JID, pinned identity, since when,
// another identity that it has shown, and when, or "-" twice.
func peersLine(t *testing.T, s *scenario.Site, account testbed.Account) string {
	t.Helper()
	for line := range strings.Lines(peers(t, s, "list")) {
		if strings.HasPrefix(line, account.JID) {
			return line
		}
	}
	return ""
}

func (f *federation) proxySees(t *testing.T, h *hand) (seen proxySeen) {
	t.Helper()
	h.ask(t, "GET /seen", nil, &seen)
	return seen
}
