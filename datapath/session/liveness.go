package session

import (
	"math/rand/v2"
	"time"
)

const (
	probeInterval = 1500 * time.Millisecond
	probeJitter   = 150 * time.Millisecond
	burstProbes   = 5
	burstInterval = 250 * time.Millisecond
	maxGrace      = 500 * time.Millisecond
)

// liveness decides when to probe and when to give up. It is a pure machine: the
// owner calls tick at the time in next.
//
//	resting ─next─> waiting ─a record came─> resting
//	                  │ none came: a probe each 250 ms, five times
//	                  └───────────────────────────────────────────> dead
//
// A peer that vanishes just after an answer is given up 1.65 + 0.25…0.5 + 1.25
// seconds later.
type liveness struct {
	next    time.Duration // when tick is due
	probed  time.Duration // first probe of the round
	waiting bool
	burst   int // probes sent since the first was missed
}

type verdict uint8

const (
	rest verdict = iota
	probe
	dead
)

// tick is called at next; received is when the last valid record came and
// roundTrip how long answers take, 0 if that is not known.
func (l *liveness) tick(now, received, roundTrip time.Duration) verdict {
	switch {
	case !l.waiting:
		l.probed, l.waiting, l.burst = now, true, 0
		l.next = now + min(max(2*roundTrip, burstInterval), maxGrace)
		return probe
	case received >= l.probed:
		l.waiting = false
		jitter := time.Duration(rand.Int64N(int64(2*probeJitter))) - probeJitter //nolint:gosec // spreads load, hides nothing
		l.next = max(l.probed+probeInterval+jitter, now)
		return rest
	case l.burst < burstProbes:
		l.burst++
		l.next = now + burstInterval
		return probe
	default:
		return dead
	}
}
