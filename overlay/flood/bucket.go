package flood

import (
	"cmp"
	"time"
)

// Budget bounds what comes from one source: frames and their bytes, per second and
// at once.
type Budget struct {
	Frames, FrameBurst float64
	Bytes, ByteBurst   float64
}

// or returns b, with the values of other where its own are zero.
func (b Budget) or(other Budget) Budget {
	return Budget{
		cmp.Or(b.Frames, other.Frames), cmp.Or(b.FrameBurst, other.FrameBurst),
		cmp.Or(b.Bytes, other.Bytes), cmp.Or(b.ByteBurst, other.ByteBurst),
	}
}

// account is what a source has used of its budget: two token buckets, full in the
// zero value.
type account struct {
	frames, bytes float64 // tokens taken and not yet refilled
	last          time.Time
	opened        bool
}

// left refills the budget and reports whether it has enough left for a frame of size
// bytes. A clock that goes back refills nothing.
func (a *account) left(now time.Time, size int, b Budget) bool {
	if a.opened {
		passed := max(0, now.Sub(a.last).Seconds())
		a.frames = max(0, a.frames-b.Frames*passed)
		a.bytes = max(0, a.bytes-b.Bytes*passed)
	}
	a.opened, a.last = true, now
	return a.frames+1 <= b.FrameBurst && a.bytes+float64(size) <= b.ByteBurst
}

// take takes a frame of size bytes from the budget, or nothing if that has not enough
// left.
func (a *account) take(now time.Time, size int, b Budget) bool {
	if !a.left(now, size, b) {
		return false
	}
	a.frames, a.bytes = a.frames+1, a.bytes+float64(size)
	return true
}

// fine takes frames from the budget, also those that it has not left.
func (a *account) fine(frames float64) { a.frames += frames }
