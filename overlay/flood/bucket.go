package flood

import (
	"cmp"
	"time"

	"golang.org/x/time/rate"
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

// times returns n budgets as one.
func (b Budget) times(n float64) Budget {
	return Budget{n * b.Frames, n * b.FrameBurst, n * b.Bytes, n * b.ByteBurst}
}

// account is what a source has left of its budget, all of it in the zero value.
type account struct {
	frames, bytes *rate.Limiter
	last          time.Time // the latest that was asked about
}

// left reports whether the budget has enough left for a frame of size bytes. Time that
// goes back refills nothing.
func (a *account) left(now time.Time, size int, b Budget) bool {
	if a.frames == nil {
		a.frames = rate.NewLimiter(rate.Limit(b.Frames), int(b.FrameBurst))
		a.bytes = rate.NewLimiter(rate.Limit(b.Bytes), int(b.ByteBurst))
	}
	if now.After(a.last) {
		a.last = now
	}
	return a.frames.TokensAt(a.last) >= 1 && a.bytes.TokensAt(a.last) >= float64(size)
}

// take takes a frame of size bytes from the budget, or nothing if that has not enough
// left.
func (a *account) take(now time.Time, size int, b Budget) bool {
	return a.left(now, size, b) && a.frames.AllowN(a.last, 1) && a.bytes.AllowN(a.last, size)
}

// leaves reports whether a part of what the budget allows at once is left after a frame of
// size bytes.
func (a *account) leaves(now time.Time, size int, b Budget, part float64) bool {
	return a.left(now, size, b) &&
		a.frames.TokensAt(a.last) >= 1+part*b.FrameBurst && a.bytes.TokensAt(a.last) >= float64(size)+part*b.ByteBurst
}
