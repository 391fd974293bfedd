package session

import "time"

// The pace at which new candidates of the peer are taken: each may cost permissions
// at a relay and a search.
const (
	hearBurst = 4
	hearEvery = time.Second
)

// hearing holds what the peer has told last of its candidates until it is time to
// take it. It is a pure machine.
type hearing struct {
	candidates []Candidate
	sequence   uint32 // of the newest
	waiting    bool
	free       time.Duration // when a whole burst may be taken
}

// hear is told of a candidates record. It returns true if an earlier one will never
// be taken.
func (h *hearing) hear(sequence uint32, candidates []Candidate) (replaced bool) {
	if sequence <= h.sequence {
		return false
	}
	replaced = h.waiting
	h.sequence, h.candidates, h.waiting = sequence, candidates, true
	return replaced
}

// next is when tick is due, while waiting.
func (h *hearing) next() time.Duration { return h.free - (hearBurst-1)*hearEvery }

// tick tells whether the candidates are to be taken now.
func (h *hearing) tick(now time.Duration) bool {
	if !h.waiting || now < h.next() {
		return false
	}
	h.waiting = false
	h.free = max(h.free, now) + hearEvery
	return true
}
