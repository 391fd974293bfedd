package driver

import (
	"context"
	"math/rand/v2"
	"time"
)

// backoff paces the tries of a background task: it doubles from first to limit.
type backoff struct {
	first, limit time.Duration
	next         time.Duration
}

// wait waits for the next try, with jitter of a quarter, and reports false when
// the context ended.
func (b *backoff) wait(ctx context.Context) bool {
	if b.next == 0 {
		b.next = b.first
	}
	pause := b.next - rand.N(b.next/4+1) //nolint:gosec // jitter is no secret
	b.next = min(2*b.next, b.limit)
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
