package session

import (
	"time"

	"evio/datapath/record"
)

const (
	// sizeLook is how often a path is asked whether it takes full records while large
	// frames are sent, and sizeIdle while none are, so that an idle session costs some 10
	// bytes per second.
	sizeLook = 5 * time.Second
	sizeIdle = 5 * time.Minute
	// sizeFirst is when a path is first looked at.
	sizeFirst = time.Second
	// sizeAgain is how often a path that takes no full records is asked again.
	sizeAgain = 10 * time.Second
	// sizeLeast and sizeMost bound how long an answer is waited for.
	sizeLeast = 500 * time.Millisecond
	sizeMost  = 2 * time.Second
	// sizeMisses is how many large probes in a row are lost, while small ones are
	// answered, before records become smaller.
	sizeMisses = 5
)

// rungs are the sizes of records that are tried in turn when full ones do not pass: those
// of packets of 1400, 1280, 1200, 1000 and 576 bytes over IPv4.
var rungs = [...]int{1372, 1252, 1172, 972, 548}

// sizing finds out how large the records may be that a path takes. It is a pure machine:
// the owner calls tick at the time in next.
//
//	resting ─while large frames are sent each 5 s, else each 5 min─> asking
//	asking ─answered─> resting
//	asking ─not answered, but a small probe was: five times─> one rung lower, asking
//	lower  ─each 10 s─> asks for full records: answered ─> resting; not ─> asking for its own
//
// Paths that drop large packets without a word are common where tunnels or filters lose
// fragments; small probes say that all is well there.
type sizing struct {
	next time.Duration // when tick is due

	full   int // size of the records that a full frame becomes
	level  int // 0: full records; n: those of the n-th rung below
	asked  int // level of the request under way
	token  uint64
	sent   time.Duration
	missed int
	rested time.Duration // when the path last answered a request of its level
}

// limit is how large records may be.
func (z *sizing) limit() int {
	if z.level == 0 {
		return record.MaxSize
	}
	return z.size(z.level)
}

// size is that of the records of a level.
func (z *sizing) size(level int) int {
	size := z.full
	for _, r := range rungs {
		if level > 0 && r < z.full {
			size = r
			level--
		}
	}
	return size
}

// lowest reports whether there is no smaller size.
func (z *sizing) lowest(level int) bool { return z.size(level) == z.size(level+1) }

// restart begins anew: the path is another.
func (z *sizing) restart(now time.Duration) {
	*z = sizing{full: z.full, next: now + sizeFirst, rested: now}
}

// tick is called at next; answered is when a small probe was last answered on the path,
// large whether large frames were sent since the last call, and token another number than
// before and not 0. It returns the size of the record to ask with, 0 for none, and
// whether one was lost that had to pass.
func (z *sizing) tick(now, answered, roundTrip time.Duration, large bool, token uint64) (size int, lost bool) {
	if z.token != 0 {
		asked, level := z.asked, z.level
		z.token = 0
		if answered < z.sent {
			return z.ask(now, asked, roundTrip, token), false // nothing passes: not because of the size
		}
		if asked == level {
			z.missed++
		}
		if z.missed >= sizeMisses && !z.lowest(z.level) {
			z.level, z.missed = z.level+1, 0
		}
		if z.missed >= sizeMisses { // small ones pass, and that is all
			z.missed, z.next = 0, now+sizeAgain
			return 0, asked == level
		}
		return z.ask(now, z.level, roundTrip, token), asked == level
	}
	switch {
	case z.level > 0:
		return z.ask(now, 0, roundTrip, token), false
	case large || now-z.rested >= sizeIdle:
		return z.ask(now, z.level, roundTrip, token), false
	}
	z.next = now + sizeLook
	return 0, false
}

func (z *sizing) ask(now time.Duration, level int, roundTrip time.Duration, token uint64) int {
	z.asked, z.token, z.sent = level, token, now
	z.next = now + min(max(2*roundTrip, sizeLeast), sizeMost)
	return z.size(level)
}

// answer takes the answer to a request.
func (z *sizing) answer(now time.Duration, token uint64) {
	if z.token == 0 || token != z.token {
		return
	}
	z.token, z.missed, z.rested = 0, 0, now
	z.level = min(z.level, z.asked)
	z.next = now + sizeLook
	if z.level > 0 {
		z.next = now + sizeAgain
	}
}
