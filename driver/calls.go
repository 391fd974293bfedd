package driver

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"evio/driver/status"
)

// calls counts Docker's calls, those that ended and those in flight.
type calls struct {
	mu       sync.Mutex
	inFlight int
	draining bool
	idle     chan struct{} // closed when draining and none is in flight
	byMethod map[string]*method
}

// method is what is counted of one of Docker's calls.
type method struct {
	status.Call
	latencies
}

func newCalls() *calls {
	return &calls{idle: make(chan struct{}), byMethod: map[string]*method{}}
}

// enter counts a call in and reports false when the driver is stopping.
func (c *calls) enter() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.draining {
		return false
	}
	c.inFlight++
	return true
}

// leave counts a call out, once its answer is on the wire.
func (c *calls) leave(name string, took time.Duration, failed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := c.byMethod[name]
	if m == nil {
		m = &method{Call: status.Call{Method: name}}
		c.byMethod[name] = m
	}
	m.Total++
	if failed {
		m.Failed++
	}
	m.add(took)
	m.LongestMillis = max(m.LongestMillis, float64(took)/float64(time.Millisecond))
	c.inFlight--
	if c.draining && c.inFlight == 0 {
		close(c.idle)
	}
}

// drain refuses new calls and waits for those in flight.
func (c *calls) drain(ctx context.Context) error {
	c.mu.Lock()
	if !c.draining {
		c.draining = true
		if c.inFlight == 0 {
			close(c.idle)
		}
	}
	c.mu.Unlock()
	select {
	case <-c.idle:
		return nil
	case <-ctx.Done():
		return errors.New("stop: calls of Docker are still running")
	}
}

// Calls returns the counters of Docker's calls, sorted by method.
func (d *Driver) Calls() []status.Call {
	c := d.calls
	c.mu.Lock()
	defer c.mu.Unlock()
	list := make([]status.Call, 0, len(c.byMethod))
	for _, m := range c.byMethod {
		call, p := m.Call, m.percentiles(0.5, 0.99)
		call.P50Millis, call.P99Millis = p[0], p[1]
		list = append(list, call)
	}
	slices.SortFunc(list, func(a, b status.Call) int { return strings.Compare(a.Method, b.Method) })
	return list
}
