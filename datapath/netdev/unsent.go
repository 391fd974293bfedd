package netdev

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Unsent returns by name how many frames each device did not send: those for which the
// queue of a TAP, or of the other end of a pair, had no room. It does not wait for the
// kernel's lock of all changes of devices.
func Unsent() (map[string]uint64, error) {
	text, err := os.ReadFile("/proc/net/dev")
	if err != nil {
		return nil, fmt.Errorf("read the counters of devices: %w", err)
	}
	return parseUnsent(string(text)), nil
}

// parseUnsent reads lines of a name and 16 numbers; the twelfth is wanted.
func parseUnsent(text string) map[string]uint64 {
	all := map[string]uint64{}
	for line := range strings.Lines(text) {
		name, rest, ok := strings.Cut(line, ":")
		numbers := strings.Fields(rest)
		if !ok || len(numbers) < 12 {
			continue
		}
		if n, err := strconv.ParseUint(numbers[11], 10, 64); err == nil {
			all[strings.TrimSpace(name)] = n
		}
	}
	return all
}
