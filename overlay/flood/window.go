package flood

import (
	"slices"

	"evio/internal/replay"
)

const (
	// windowSize is how many numbers of a start are told apart, from the highest that
	// came downwards; one below them counts as seen.
	windowSize = 4096
	lives      = 2 // of an origin: its present start and the one before
	// maxPast bounds the starts before these. Of each it is remembered up to when its
	// frames were sent: another start may have had a clock that was ahead.
	maxPast = 32
)

// window tells the numbers of a start apart.
type window = replay.Window[[windowSize/64 + 1]uint64]

// source is what is remembered of one origin.
type source struct {
	budget account
	lives  []life // the one used last in front
	past   []past // the one used last at the end
	floor  uint64 // what was sent before this time, under a start that is not known, counts as seen
}

// life is which numbers came under one start.
type life struct {
	start  uint64
	came   *window
	newest uint64 // time of the frames that came
}

// seen reports whether a frame came before or counts as such.
func (s *source) seen(h Header) bool {
	for _, l := range s.lives {
		if l.start == h.Start {
			return !l.came.Fresh(h.Seq)
		}
	}
	for _, p := range s.past {
		if p.start == h.Start {
			return h.Time <= p.newest
		}
	}
	return h.Time < s.floor
}

// past is a start that others took the place of.
type past struct{ start, newest uint64 }

// forget makes a start a past one.
func (s *source) forget(l life) {
	s.past = append(slices.DeleteFunc(s.past, func(p past) bool { return p.start == l.start }), past{l.start, l.newest})
	if len(s.past) > maxPast {
		s.floor = max(s.floor, s.past[0].newest+1)
		s.past = s.past[1:]
	}
}

// mark notes that a frame came. A start that is not known takes the place of the one
// used longer ago.
func (s *source) mark(h Header) {
	l := life{start: h.Start}
	if i := slices.IndexFunc(s.lives, func(l life) bool { return l.start == h.Start }); i >= 0 {
		l = s.lives[i]
		s.lives = slices.Delete(s.lives, i, i+1)
	} else {
		l.came = new(window)
	}
	if l.came.Fresh(h.Seq) {
		l.came.Mark(h.Seq)
	}
	l.newest = max(l.newest, h.Time)
	if len(s.lives) == lives {
		s.forget(s.lives[lives-1])
		s.lives = s.lives[:lives-1]
	}
	s.lives = slices.Insert(s.lives, 0, l)
}
