package driver

import (
	"context"
	"sync"
)

// task is a goroutine that runs at most once. The zero value has not begun.
type task struct {
	mu     sync.Mutex
	cancel context.CancelFunc
	done   chan struct{} // closed when run has returned
}

// begin has run go on until it returns; its context ends with ctx or by end.
func (t *task) begin(ctx context.Context, run func(context.Context)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	ctx, t.cancel = context.WithCancel(ctx)
	done := make(chan struct{})
	t.done = done
	go func() { // owned by whoever calls end
		defer close(done)
		run(ctx)
	}()
}

// end ends the goroutine and waits for that as long as the context lets it.
func (t *task) end(ctx context.Context) error {
	t.mu.Lock()
	cancel, done := t.cancel, t.done
	t.mu.Unlock()
	if done == nil {
		return nil
	}
	cancel()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
