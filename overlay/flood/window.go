package flood

import (
	"math"
	"slices"

	"github.com/pion/transport/v5/replaydetector"
)

const (
	// windowSize is how many numbers of a start are told apart, from the highest that
	// came downwards; one below them counts as seen.
	windowSize = 2048
	lives      = 2 // of an origin: its present start and the one before
)

// source is what is remembered of one origin.
type source struct {
	budget account
	lives  []life // the one used last in front
	floor  uint64 // what was sent before this time, under a start that is not known, counts as seen
}

// life is which numbers came under one start.
type life struct {
	start  uint64
	came   replaydetector.ReplayDetector
	newest uint64 // time of the frames that came
}

// seen reports whether a frame came before or counts as such.
func (s *source) seen(h Header) bool {
	for _, l := range s.lives {
		if l.start == h.Start {
			_, fresh := l.came.Check(h.Seq)
			return !fresh
		}
	}
	return h.Time < s.floor
}

// mark notes that a frame came. A start that is not known takes the place of the one
// used longer ago.
func (s *source) mark(h Header) {
	l := life{start: h.Start}
	if i := slices.IndexFunc(s.lives, func(l life) bool { return l.start == h.Start }); i >= 0 {
		l = s.lives[i]
		s.lives = slices.Delete(s.lives, i, i+1)
	} else {
		l.came = replaydetector.New(windowSize, math.MaxUint64)
	}
	if accept, fresh := l.came.Check(h.Seq); fresh {
		accept()
	}
	l.newest = max(l.newest, h.Time)
	if len(s.lives) == lives {
		s.floor = max(s.floor, s.lives[lives-1].newest+1)
		s.lives = s.lives[:lives-1]
	}
	s.lives = slices.Insert(s.lives, 0, l)
}
