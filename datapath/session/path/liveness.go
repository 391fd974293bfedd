package path

import (
	"math/rand/v2"
	"time"
)

const (
	// ProbeInterval is the time between two probes of a path that answers, give or take
	// probeJitter.
	ProbeInterval = 1500 * time.Millisecond
	probeJitter   = 150 * time.Millisecond
	burstProbes   = 5
	// BurstInterval is the time between two probes while an answer is missing.
	BurstInterval = 250 * time.Millisecond
	maxGrace      = 500 * time.Millisecond

	// minSilence is how long a peer must be silent before it counts as dead. The ends
	// notice a cut up to 1.65 s apart, and have to search at the same time.
	minSilence = 3 * time.Second
	// maxDeaf is how long a peer may send records without answering.
	maxDeaf = 15 * time.Second
)

// Liveness decides when to probe the path and when to give the peer up. It is a pure
// machine: the owner calls Tick at the time in Next.
//
//	resting ─next─> waiting ─an answer came─> resting
//	                  │ none came: a probe every 250 ms, at least five, until
//	                  │ nothing valid has come for 3 s
//	                  └───────────────────────────────────────────> dead
//
// A peer that vanishes just after an answer is given up 1.65 + 0.25…0.5 + 1.25
// seconds later.
type Liveness struct {
	Next    time.Duration // when Tick is due
	probed  time.Duration // first probe of the round
	waiting bool
	burst   int // probes sent since the first was missed
}

// Verdict is what Tick wants done.
type Verdict uint8

// Verdicts of Tick.
const (
	Rest    Verdict = iota
	Probe           // send a probe
	Missing         // send a probe, and look for the peer elsewhere
	Dead            // give the peer up
)

// Grace is how long an answer is waited for.
func Grace(roundTrip time.Duration) time.Duration {
	return min(max(2*roundTrip, BurstInterval), maxGrace)
}

// Tick is called at Next. answered is when the last answer on the path came, received is
// when the last valid record came, and roundTrip is how long answers take, 0 if that is
// unknown.
func (l *Liveness) Tick(now, answered, received, roundTrip time.Duration) Verdict {
	switch {
	case !l.waiting:
		l.probed, l.waiting, l.burst = now, true, 0
		l.Next = now + Grace(roundTrip)
		return Probe
	case answered >= l.probed:
		l.waiting = false
		jitter := time.Duration(rand.Int64N(int64(2*probeJitter))) - probeJitter //nolint:gosec // spreads load, hides nothing
		l.Next = max(l.probed+ProbeInterval+jitter, now)
		return Rest
	case l.burst >= burstProbes && (now-received >= minSilence || now-l.probed >= maxDeaf):
		return Dead
	}
	l.burst++
	l.Next = now + BurstInterval
	if now-l.probed < roundTrip+roundTrip/4 {
		return Probe // the answer may be about to come
	}
	return Missing
}

// Restart probes at once, because the path is another or may be gone.
func (l *Liveness) Restart(now time.Duration) { *l = Liveness{Next: now} }
