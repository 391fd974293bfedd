package scenario

import (
	"fmt"
	"slices"
	"time"
)

// Percentile is the time within which p percent were done.
func Percentile(took []time.Duration, p int) time.Duration {
	sorted := slices.Sorted(slices.Values(took))
	return sorted[max(0, (len(sorted)*p+99)/100-1)]
}

// Spread describes durations by some of their percentiles.
func Spread(took []time.Duration) string {
	round := func(p int) time.Duration { return Percentile(took, p).Round(100 * time.Microsecond) }
	return fmt.Sprintf("half within %v, 90%% %v, 99%% %v, all %v", round(50), round(90), round(99), round(100))
}
