package scenario

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// LongestSilence reads what ping -D has printed and returns the longest time between
// two answers from a moment on, in milliseconds.
func LongestSilence(ping Job, from time.Time) (int64, error) {
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
