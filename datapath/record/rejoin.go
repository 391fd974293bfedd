package record

import (
	"errors"
	"slices"
	"time"
)

// Bounds of a Rejoiner: at most maxUnfinished × MaxFrame = 303 KB are held. A
// frame at the largest MTU has 7 slices.
const (
	maxUnfinished = 32
	maxAge        = time.Second
	maxRanges     = 16
	maxSpare      = 4
)

// Reasons for which slices are dropped.
var (
	ErrSlice    = errors.New("slice has an absurd total, offset or length")
	ErrMismatch = errors.New("slice disagrees with earlier ones about its frame")
	ErrOverlap  = errors.New("slice overlaps an earlier one")
)

// Rejoiner makes frames of slices, whatever their order. It holds a bounded
// number of bytes of unfinished frames for a bounded time; the oldest give way.
// The zero value is ready.
type Rejoiner struct {
	unfinished []*unfinished // oldest first
	spare      [][]byte

	evicted, expired uint64 // since the last Lost
}

// unfinished is a frame with parts missing.
type unfinished struct {
	id      uint32
	kind    uint8
	frame   []byte
	missing int
	ranges  []span
	since   time.Time
}

type span struct{ from, to int }

// Add takes a slice. It returns the frame that the slice completes, which the
// caller owns until it hands it back by Recycle. A slice that cannot belong to
// its frame is refused and leaves the frame as it was, but an overlap discards
// the frame, since one of its parts is wrong.
func (r *Rejoiner) Add(p Plain, now time.Time) (frame []byte, err error) {
	r.expire(now)
	if len(p.Body) == 0 || p.Total > MaxFrame || p.Offset+len(p.Body) > p.Total {
		return nil, ErrSlice
	}
	at := r.find(p.ID)
	if at < 0 {
		at = r.start(p, now)
	}
	u := r.unfinished[at]
	if u.kind != p.Kind || len(u.frame) != p.Total {
		return nil, ErrMismatch
	}
	part := span{p.Offset, p.Offset + len(p.Body)}
	for _, have := range u.ranges {
		if part.from < have.to && have.from < part.to {
			r.discard(at)
			return nil, ErrOverlap
		}
	}
	if len(u.ranges) == maxRanges {
		r.discard(at)
		return nil, ErrSlice
	}
	u.ranges = append(u.ranges, part)
	copy(u.frame[part.from:], p.Body)
	u.missing -= len(p.Body)
	if u.missing > 0 {
		return nil, nil
	}
	r.remove(at)
	return u.frame, nil
}

// Recycle takes back a frame that Add returned.
func (r *Rejoiner) Recycle(frame []byte) {
	if cap(frame) == MaxFrame && len(r.spare) < maxSpare {
		r.spare = append(r.spare, frame)
	}
}

// Lost returns and resets the numbers of unfinished frames that gave way to
// newer ones and that waited too long.
func (r *Rejoiner) Lost() (evicted, expired uint64) {
	evicted, expired = r.evicted, r.expired
	r.evicted, r.expired = 0, 0
	return evicted, expired
}

func (r *Rejoiner) find(id uint32) int {
	return slices.IndexFunc(r.unfinished, func(u *unfinished) bool { return u.id == id })
}

func (r *Rejoiner) start(p Plain, now time.Time) int {
	if len(r.unfinished) == maxUnfinished {
		r.discard(0)
		r.evicted++
	}
	u := &unfinished{id: p.ID, kind: p.Kind, missing: p.Total, since: now}
	if n := len(r.spare); n > 0 {
		u.frame, r.spare = r.spare[n-1], r.spare[:n-1]
	} else {
		u.frame = make([]byte, MaxFrame)
	}
	u.frame = u.frame[:p.Total]
	r.unfinished = append(r.unfinished, u)
	return len(r.unfinished) - 1
}

func (r *Rejoiner) expire(now time.Time) {
	for len(r.unfinished) > 0 && now.Sub(r.unfinished[0].since) > maxAge {
		r.discard(0)
		r.expired++
	}
}

func (r *Rejoiner) discard(at int) {
	frame := r.unfinished[at].frame
	r.remove(at)
	r.Recycle(frame)
}

func (r *Rejoiner) remove(at int) { r.unfinished = slices.Delete(r.unfinished, at, at+1) }
