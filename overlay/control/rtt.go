package control

import (
	"time"

	"evio/internal/backoff"
)

const (
	timeoutFloor   = 200 * time.Millisecond
	timeoutCeiling = 5 * time.Second
	timeoutInitial = time.Second
)

// roundTrip estimates when a message without acknowledgement is lost (RFC 6298,
// with a lower floor: control is small and the peer acknowledges at once).
type roundTrip struct {
	smoothed, variation time.Duration
	base                time.Duration // timeout of a first transmission
}

func newRoundTrip() roundTrip { return roundTrip{base: timeoutInitial} }

// sample takes one measured round trip.
func (r *roundTrip) sample(d time.Duration) {
	d = max(d, time.Microsecond) // zero means that there was none
	if r.smoothed == 0 {
		r.smoothed, r.variation = d, d/2
	} else {
		r.variation = (3*r.variation + (r.smoothed - d).Abs()) / 4
		r.smoothed = (7*r.smoothed + d) / 8
	}
	r.base = min(max(r.smoothed+4*r.variation, timeoutFloor), timeoutCeiling)
}

// timeout returns how long to wait after the n-th transmission: twice as long
// each time.
func (r *roundTrip) timeout(n uint8) time.Duration {
	return backoff.Exponential{First: r.base, Last: timeoutCeiling}.Pause(int(n - 1))
}
