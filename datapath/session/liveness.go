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

	// minSilence is how long nothing valid has come before a peer is given up. The
	// ends notice a cut up to 1.65 s apart, and have to search at the same time.
	minSilence = 3 * time.Second
	// maxDeaf is how long a peer may be heard that does not answer.
	maxDeaf = 15 * time.Second
)

// liveness decides when to probe the path and when to give the peer up. It is a
// pure machine: the owner calls tick at the time in next.
//
//	resting ─next─> waiting ─an answer came─> resting
//	                  │ none came: a probe each 250 ms, at least five, until
//	                  │ nothing valid has come for 3 s
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
	missing // a probe, and the peer should be looked for elsewhere
	dead
)

// grace is how long an answer is waited for.
func grace(roundTrip time.Duration) time.Duration {
	return min(max(2*roundTrip, burstInterval), maxGrace)
}

// tick is called at next; answered is when the last answer on the path came,
// received when the last valid record did, and roundTrip how long answers take, 0
// if that is not known.
func (l *liveness) tick(now, answered, received, roundTrip time.Duration) verdict {
	switch {
	case !l.waiting:
		l.probed, l.waiting, l.burst = now, true, 0
		l.next = now + grace(roundTrip)
		return probe
	case answered >= l.probed:
		l.waiting = false
		jitter := time.Duration(rand.Int64N(int64(2*probeJitter))) - probeJitter //nolint:gosec // spreads load, hides nothing
		l.next = max(l.probed+probeInterval+jitter, now)
		return rest
	case l.burst >= burstProbes && (now-received >= minSilence || now-l.probed >= maxDeaf):
		return dead
	}
	l.burst++
	l.next = now + burstInterval
	if now-l.probed < roundTrip+roundTrip/4 {
		return probe // the answer may well be on its way
	}
	return missing
}

// restart probes at once: the path is another, or may be no more.
func (l *liveness) restart(now time.Duration) { *l = liveness{next: now} }
