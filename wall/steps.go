package wall

import (
	"context"
	"time"
)

// step is the least difference that counts as a step; a clock that is steered runs a
// little faster or slower and never comes near it between two looks.
const step = time.Second

// Steps notices when wall time is set, or has gone on while the machine slept. The zero
// value goes by At.
type Steps struct {
	Clock Clock

	now, wall time.Time // of the last look
}

// Look returns by how much wall time was set since the last look, forward if positive;
// 0 if it was not, and for the first look.
func (s *Steps) Look(now time.Time) time.Duration {
	before, last := s.wall, s.now
	s.now, s.wall = now, s.Clock.Or()(now)
	if last.IsZero() {
		return 0
	}
	if by := s.wall.Sub(before) - now.Sub(last); by.Abs() >= step {
		return by
	}
	return 0
}

// lookEvery is how often Watch looks.
const lookEvery = 250 * time.Millisecond

// Watch calls f when wall time was set, with by how much, until the context ends.
func Watch(ctx context.Context, c Clock, f func(by time.Duration)) {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	s := Steps{Clock: c}
	s.Look(time.Now())
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if by := s.Look(time.Now()); by != 0 {
				f(by)
			}
		}
	}
}
