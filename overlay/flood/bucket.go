package flood

import "time"

// bucket is a token bucket. The zero value is full when it is first used.
type bucket struct {
	used   float64 // tokens taken and not yet refilled
	last   time.Time
	opened bool
}

// take takes one token of a bucket of burst tokens that refills at rate per second. A
// clock that goes back refills nothing.
func (b *bucket) take(now time.Time, rate, burst float64) bool {
	if b.opened {
		b.used = max(0, b.used-rate*max(0, now.Sub(b.last).Seconds()))
	}
	b.opened, b.last = true, now
	if b.used+1 > burst {
		return false
	}
	b.used++
	return true
}
