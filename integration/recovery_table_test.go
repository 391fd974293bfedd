//go:build e2e

package integration

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"evio/integration/scenario"
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

// enter starts a program of the site's host in a container's namespaces; it is ended
// with the test, or with the container.
func enter(t *testing.T, s scenario.Spot, args ...string) job {
	t.Helper()
	p, err := s.Site.Start(within(t, 10*time.Second), fmt.Sprintf("%s-%s-%d", s.Container, args[0], s.PID), s.Inside(args...)...)
	if err != nil {
		t.Fatal(err)
	}
	return job{p, args[0]}
}

// runs tells whether the program has not ended.
func (j job) runs() bool {
	select {
	case <-j.Done():
		return false
	default:
		return true
	}
}

// moreAnswers waits until a dialogue has two more answers than now: the second was
// surely asked for later.
func moreAnswers(ctx context.Context, j job) error {
	var before conversation
	_ = j.last(&before) // nothing is printed yet: no answers
	return scenario.Await(ctx, func() error {
		var now conversation
		if err := j.last(&now); err != nil {
			return err
		}
		if now.Answers <= before.Answers+1 {
			return fmt.Errorf("%d answers, no more than before", now.Answers)
		}
		return nil
	})
}

// longestSilence reads what ping -D has printed and returns the longest time between
// two answers from a moment on, in milliseconds.
func longestSilence(ping job, from time.Time) (int64, error) {
	log, err := os.Open(ping.Log())
	if err != nil {
		return 0, err
	}
	defer log.Close()
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
