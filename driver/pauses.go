package driver

import (
	"context"
	"math/rand/v2"
	"time"

	"evio/internal/backoff"
)

// pauses are those between the tries of a background task.
type pauses struct {
	backoff.Exponential
	last time.Duration
}

// pausesFrom returns pauses that double from first to last.
func pausesFrom(first, last time.Duration) *pauses {
	return &pauses{Exponential: backoff.Exponential{First: first, Last: last}}
}

// wait waits for the next try, up to a quarter less than the series says, and reports
// false when the context ended.
func (p *pauses) wait(ctx context.Context) bool {
	p.last = p.After(p.last)
	timer := time.NewTimer(backoff.Spread(p.last, 0.75, 1, rand.Float64())) //nolint:gosec // jitter is no secret
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
