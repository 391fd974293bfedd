package contact

import (
	"slices"
	"time"

	"evio/wall"
)

// copies is how many envelopes of a peer are remembered, to tell a copy from one that is
// new. A peer that sends as fast as it may signs fewer while one of them is timely.
const copies = 1024

// untimelyCopies is the same for those that were refused for their time. They have a place of
// their own: who recorded many of them could otherwise have timely ones forgotten by sending
// them again, which costs nothing. One that is forgotten is as if it had been held back.
const untimelyCopies = 64

// history is what tells whether the peer's clock was set back. By that clock a later
// envelope then seems older than those before: its attempt, named by the time, is lower.
// It cannot be told from an old one that came late, until a second one comes that was
// signed after it, as long after as it came after, with nothing newer in between. Neither
// may be a copy of one that came before. Who holds back two of them can so pass an attempt
// that the peer has given up for its last, until the peer repeats that one, and once with
// each two; that is no more than holding back all.
type history struct {
	came     ring
	untimely ring
	doubted  doubt
}

// ring has the last signatures that came.
type ring struct {
	came []signature // once it is full, the latest one at next - 1
	next int
}

// signature tells the envelopes of a peer apart.
type signature struct {
	attempt uint64
	expiry  uint64
}

// doubt is the last envelope that seemed older than those before; zero: the last one did
// not.
type doubt struct {
	attempt      uint64
	expiry, came time.Time
}

func signatureOf(e Envelope) signature { return signature{e.Attempt, wall.Milliseconds(e.Expiry)} }

func (h *history) has(e Envelope) bool {
	return slices.Contains(h.came.came, signatureOf(e)) || slices.Contains(h.untimely.came, signatureOf(e))
}

// add puts a signature in the place of the oldest one if there are most.
func (r *ring) add(s signature, most int) {
	if len(r.came) < most {
		r.came = append(r.came, s)
		return
	}
	r.came[r.next] = s
	r.next = (r.next + 1) % most
}

func (h *history) doubt(e Envelope, now time.Time) { h.doubted = doubt{e.Attempt, e.Expiry, now} }

// setBack reports whether an envelope that seems older than those before shows that the
// peer's clock was set back.
func (h *history) setBack(e Envelope, now time.Time) bool {
	d := h.doubted
	apart := e.Expiry.Sub(d.expiry)
	return !d.came.IsZero() && e.Attempt >= d.attempt && apart >= gap/2 && now.Sub(d.came) >= apart/2
}
