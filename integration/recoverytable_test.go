//go:build e2e

package integration

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// recoveryFile is where the times are kept.
const recoveryFile = "../dist/recovery.json"

// mending is how long it took until all was well after a fault, in milliseconds.
type mending struct {
	Fault    string `json:"fault"`
	Restarts bool   `json:"restarts"`    // the engine started the containers anew
	Recovery int64  `json:"recovery_ms"` // from the kill, or from the engine's first answer, to the last first answer of a ping
	Outage   int64  `json:"outage_ms"`   // longest silence of a ping from another site, from before the fault on
	Clean    int64  `json:"clean_ms"`    // until nothing was left over, at the latest
}

type mendings []mending

// write prints the table and keeps it.
func (r mendings) write(t *testing.T) {
	t.Helper()
	for _, row := range r {
		t.Logf("| %s | %.1f | %.1f |", row.Fault, float64(row.Recovery)/1000, float64(row.Outage)/1000)
	}
	b, err := json.MarshalIndent(r, "", "  ")
	if err == nil {
		err = os.WriteFile(recoveryFile, append(b, '\n'), 0o600)
	}
	if err != nil {
		t.Error(err)
	}
}

// longestSilence reads what ping -D has printed and returns the longest time between
// two answers from a moment on, in milliseconds.
func longestSilence(ping job, from time.Time) (int64, error) {
	log, err := os.Open(ping.Log())
	if err != nil {
		return 0, err
	}
	defer log.Close() //nolint:errcheck // only read from
	last, longest := from, time.Duration(0)
	lines := bufio.NewScanner(log)
	for lines.Scan() {
		stamp, rest, _ := strings.Cut(strings.TrimPrefix(lines.Text(), "["), "] ")
		if !strings.Contains(rest, "bytes from") {
			continue
		}
		seconds, err := strconv.ParseFloat(stamp, 64)
		if err != nil {
			return 0, fmt.Errorf("ping printed %q: %w", lines.Text(), err)
		}
		if at := time.UnixMicro(int64(seconds * 1e6)); at.After(last) {
			last, longest = at, max(longest, at.Sub(last))
		}
	}
	return max(longest, time.Since(last)).Milliseconds(), lines.Err()
}
