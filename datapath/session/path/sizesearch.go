package path

import (
	"time"

	"evio/datapath/record"
)

const (
	// sizeInterval is how often a path is asked whether it takes full records while large
	// frames are sent; sizeIdle is how often while none are. So an idle session costs some
	// 10 bytes per second.
	sizeInterval = 5 * time.Second
	sizeIdle     = 5 * time.Minute
	// sizeFirst is when a path is first looked at.
	sizeFirst = time.Second
	// sizeAgain is how often a path that takes no full records is asked again.
	sizeAgain = 10 * time.Second
	// minSizeWait and maxSizeWait bound the wait for an answer.
	minSizeWait = 500 * time.Millisecond
	maxSizeWait = 2 * time.Second
	// sizeMisses is how many large probes in a row are lost, while small ones are
	// answered, before records become smaller.
	sizeMisses = 5
)

// rungs are the sizes of records that are tried in turn when full ones do not pass: those
// of packets of 1400, 1280, 1200, 1000 and 576 bytes over IPv4.
var rungs = [...]int{1372, 1252, 1172, 972, 548}

// SizeSearch finds out how large the records may be that a path takes. It searches by
// probes, as RFC 8899 does. It is a pure machine: the owner sets Full, calls Restart, and
// then Tick at the time in Next.
//
//	resting ─while large frames are sent every 5 s, otherwise each 5 min─> asking
//	asking ─answered─> resting
//	asking ─not answered, but a small probe was: five times─> one rung lower, asking
//	lower  ─every 10 s─> asks for full records: answered ─> resting; not ─> asking for its own
//
// Paths that drop large packets silently are common where tunnels or filters lose
// fragments. Small probes pass there.
type SizeSearch struct {
	Next time.Duration // when Tick is due

	Full   int // size of the records that a full frame becomes
	Level  int // 0: full records; n: those of the n-th rung below
	asked  int // level of the request under way
	token  uint64
	sent   time.Duration
	missed int
	rested time.Duration // when the path last answered a request of its level
}

// Limit returns how large records may be, in bytes.
func (z *SizeSearch) Limit() int {
	if z.Level == 0 {
		return record.MaxSize
	}
	return z.size(z.Level)
}

// size is that of the records of a level.
func (z *SizeSearch) size(level int) int {
	size := z.Full
	for _, r := range rungs {
		if level > 0 && r < z.Full {
			size = r
			level--
		}
	}
	return size
}

// lowest reports whether there is no smaller size.
func (z *SizeSearch) lowest(level int) bool { return z.size(level) == z.size(level+1) }

// Restart begins anew on another path.
func (z *SizeSearch) Restart(now time.Duration) {
	*z = SizeSearch{Full: z.Full, Next: now + sizeFirst, rested: now}
}

// Tick is called at Next. answered is when a small probe was last answered on the path, and
// large is whether large frames were sent since the last call. token is a number other than
// 0 that was not used before. Tick returns the size of the record to ask with, 0 for none,
// and whether a record was lost that should have passed.
func (z *SizeSearch) Tick(now, answered, roundTrip time.Duration, large bool, token uint64) (size int, lost bool) {
	if z.token != 0 {
		asked, level := z.asked, z.Level
		z.token = 0
		if answered < z.sent {
			return z.ask(now, asked, roundTrip, token), false // nothing passes: not because of the size
		}
		if asked == level {
			z.missed++
		}
		if z.missed >= sizeMisses && !z.lowest(z.Level) {
			z.Level, z.missed = z.Level+1, 0
		}
		if z.missed >= sizeMisses { // small ones pass, and that is all
			z.missed, z.Next = 0, now+sizeAgain
			return 0, asked == level
		}
		return z.ask(now, z.Level, roundTrip, token), asked == level
	}
	switch {
	case z.Level > 0:
		return z.ask(now, 0, roundTrip, token), false
	case large || now-z.rested >= sizeIdle:
		return z.ask(now, z.Level, roundTrip, token), false
	}
	z.Next = now + sizeInterval
	return 0, false
}

func (z *SizeSearch) ask(now time.Duration, level int, roundTrip time.Duration, token uint64) int {
	z.asked, z.token, z.sent = level, token, now
	z.Next = now + min(max(2*roundTrip, minSizeWait), maxSizeWait)
	return z.size(level)
}

// Answer takes the answer to the request with this token.
func (z *SizeSearch) Answer(now time.Duration, token uint64) {
	if z.token == 0 || token != z.token {
		return
	}
	z.token, z.missed, z.rested = 0, 0, now
	z.Level = min(z.Level, z.asked)
	z.Next = now + sizeInterval
	if z.Level > 0 {
		z.Next = now + sizeAgain
	}
}
