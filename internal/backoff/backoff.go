// Package backoff says how long to wait between tries that fail. It has no clock and
// draws no random numbers: whoever waits has both.
package backoff

import "time"

// Exponential is a series of pauses: the first one, then each twice as long as the one
// before, up to the last one, which repeats. Its methods may be called at once.
type Exponential struct{ First, Last time.Duration }

// Pause returns the pause that n others came before, n ≥ 0.
func (e Exponential) Pause(n int) time.Duration {
	if n >= 63 || e.First > e.Last>>n {
		return e.Last
	}
	return e.First << n
}

// After returns the pause after one of the series, the first one after 0.
func (e Exponential) After(pause time.Duration) time.Duration {
	switch {
	case pause <= 0:
		return min(e.First, e.Last)
	case pause > e.Last/2:
		return e.Last
	}
	return 2 * pause
}

// Spread returns a pause between low and high times as long, by a random number in
// [0, 1), so that many who wait do not come back at once.
func Spread(pause time.Duration, low, high, random float64) time.Duration {
	return time.Duration(float64(pause) * (low + random*(high-low)))
}
