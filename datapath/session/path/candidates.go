package path

import (
	"slices"
	"time"

	"evio/internal/backoff"
)

// How a candidates record is repeated that the peer has not confirmed.
const (
	repeatFirst = 250 * time.Millisecond // doubled each time
	repeatLast  = 4 * time.Second
	maxRepeats  = 10 // after these the peer is taken not to know such records
)

// CandidateSender brings the own candidates to the peer. It repeats them until the peer
// confirms them; newer ones replace older ones. It is a pure machine: the owner calls Tick
// at the time in Next while Waiting is set. The zero value has sent nothing.
type CandidateSender struct {
	Candidates []Candidate // sent last
	Sequence   uint32
	Waiting    bool
	sent       int
	Next       time.Duration // when Tick is due, while Waiting
}

// Offer starts to send candidates, unless they are those that were sent last.
func (t *CandidateSender) Offer(now time.Duration, candidates []Candidate) {
	if slices.Equal(t.Candidates, candidates) {
		return
	}
	t.Candidates = candidates
	t.Repeat(now)
}

// Repeat sends the candidates again, under a new number.
func (t *CandidateSender) Repeat(now time.Duration) {
	t.Waiting, t.sent, t.Next = true, 0, now
	t.Sequence++
}

// Received takes the peer's confirmation of a sequence number.
func (t *CandidateSender) Received(sequence uint32) {
	if sequence == t.Sequence {
		t.Waiting = false
	}
}

// Tick reports whether the record is to be sent now.
func (t *CandidateSender) Tick(now time.Duration) bool {
	if !t.Waiting || now < t.Next {
		return false
	}
	t.Next = now + backoff.Exponential{First: repeatFirst, Last: repeatLast}.Pause(t.sent)
	t.sent++
	t.Waiting = t.sent < maxRepeats
	return true
}

// The rate at which new candidates of the peer are taken. Each change may cost permissions
// at a TURN server, and a search.
const (
	receiveBurst    = 4
	receiveInterval = time.Second
)

// CandidateReceiver holds the newest candidates of the peer until it is time to take them.
// It is a pure machine: the owner calls Tick at the time Next returns while Waiting is set.
type CandidateReceiver struct {
	Candidates []Candidate
	sequence   uint32 // of the newest
	Waiting    bool
	free       time.Duration // when a whole burst may be taken
}

// Receive takes a candidates record. It reports whether the record replaces an earlier one
// that was never taken.
func (h *CandidateReceiver) Receive(sequence uint32, candidates []Candidate) (replaced bool) {
	if sequence <= h.sequence {
		return false
	}
	replaced = h.Waiting
	h.sequence, h.Candidates, h.Waiting = sequence, candidates, true
	return replaced
}

// Next returns when Tick is due, while Waiting.
func (h *CandidateReceiver) Next() time.Duration { return h.free - (receiveBurst-1)*receiveInterval }

// Tick reports whether the candidates are to be taken now.
func (h *CandidateReceiver) Tick(now time.Duration) bool {
	if !h.Waiting || now < h.Next() {
		return false
	}
	h.Waiting = false
	h.free = max(h.free, now) + receiveInterval
	return true
}
