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
}

// life is which numbers came under one start.
type life struct {
	start uint64
	came  replaydetector.ReplayDetector
}

// seen reports whether a frame came before or counts as such.
func (s *source) seen(start, seq uint64) bool {
	for _, l := range s.lives {
		if l.start == start {
			_, fresh := l.came.Check(seq)
			return !fresh
		}
	}
	return false
}

// mark notes that a frame came. A start that is not known takes the place of the one
// used longer ago.
func (s *source) mark(start, seq uint64) {
	i := slices.IndexFunc(s.lives, func(l life) bool { return l.start == start })
	l := life{start, nil}
	if i >= 0 {
		l = s.lives[i]
		s.lives = slices.Delete(s.lives, i, i+1)
	} else {
		l.came = replaydetector.New(windowSize, math.MaxUint64)
	}
	if accept, fresh := l.came.Check(seq); fresh {
		accept()
	}
	s.lives = slices.Insert(s.lives[:min(len(s.lives), lives-1)], 0, l)
}
