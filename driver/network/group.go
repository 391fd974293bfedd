package network

import (
	"context"
	"sync"
)

// group is goroutines that end together. The zero value has none; any goroutine may use
// it.
type group struct {
	wg sync.WaitGroup

	mu      sync.Mutex
	running map[int]context.CancelFunc
	begun   int
	ended   bool
}

// begin runs f with a context that ends with the group, or by stop, and not with that of
// the caller. A group that has ended runs nothing.
func (g *group) begin(ctx context.Context, f func(context.Context)) (stop context.CancelFunc) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ended {
		return func() {}
	}
	ctx, stop = context.WithCancel(context.WithoutCancel(ctx))
	if g.running == nil {
		g.running = map[int]context.CancelFunc{}
	}
	id := g.begun
	g.begun++
	g.running[id] = stop
	g.wg.Go(func() {
		defer func() {
			stop()
			g.mu.Lock()
			defer g.mu.Unlock()
			delete(g.running, id)
		}()
		f(ctx)
	})
	return stop
}

// end ends the contexts; wait waits for the goroutines.
func (g *group) end() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ended = true
	for _, stop := range g.running {
		stop()
	}
}

func (g *group) wait() { g.wg.Wait() }
