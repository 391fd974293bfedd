package turn

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

var (
	// ErrClosed is what a closed pool answers.
	ErrClosed = errors.New("the TURN client is closed")
	// ErrNoServers is what a pool without servers answers.
	ErrNoServers = errors.New("no TURN server is configured")
)

// Pool holds the engine's relayed address. Its methods may be called by any
// goroutine.
type Pool struct {
	config  Config
	timing  timing
	servers []*server
	tasks   sync.WaitGroup // what asks servers, and allocations

	mu      sync.Mutex
	closed  bool
	pending *pendingAllocation // nil if none is asked for
	current *Allocation
	live    map[*Allocation]bool // also those that are asked for; true: the server has made it
}

// server is a TURN server and what is known of it.
type server struct {
	config  Server
	uri     URI
	dropped atomic.Uint64

	// guarded by mu of the pool
	state  string
	reason string
	since  time.Time
	retry  time.Time // it is not asked before
	worked time.Time // the last success
}

// pendingAllocation is an allocation that is asked for. Several callers may wait for it.
type pendingAllocation struct {
	cancel context.CancelFunc
	done   chan struct{}
	err    error // set before done is closed
}

// New makes a pool. Nothing is sent before Acquire.
func New(config Config) (*Pool, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	if config.Resolve == nil {
		config.Resolve = lookup
	}
	if config.Dial == nil {
		config.Dial = dial
	}
	p := &Pool{config: config, timing: config.timing.orDefaults(), live: make(map[*Allocation]bool)}
	for _, s := range config.Servers {
		uri, err := ParseURI(s.URI)
		if err != nil {
			return nil, err
		}
		p.servers = append(p.servers, &server{config: s, uri: uri, state: Unused, since: time.Now()})
	}
	return p, nil
}

// Acquire returns the engine's allocation, and gets one if there is none. The caller calls
// Release once for each success.
func (p *Pool) Acquire(ctx context.Context) (*Allocation, error) {
	for {
		a, running, err := p.currentOrPending() //nolint:contextcheck // a pending allocation serves all callers
		if a != nil || err != nil {
			return a, err
		}
		select {
		case <-running.done:
			if running.err != nil {
				return nil, running.err
			}
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for a relayed address: %w", ctx.Err())
		}
	}
}

// currentOrPending returns the allocation, or the pending one to wait for.
func (p *Pool) currentOrPending() (*Allocation, *pendingAllocation, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.closed:
		return nil, nil, ErrClosed
	case len(p.servers) == 0:
		return nil, nil, ErrNoServers
	case p.current != nil && !p.current.aged(time.Now()):
		p.current.users++
		p.current.linger.Stop()
		return p.current, nil, nil
	case p.pending == nil:
		ctx, cancel := context.WithCancel(context.Background()) // serves all callers
		running := &pendingAllocation{cancel: cancel, done: make(chan struct{})}
		p.pending = running
		p.tasks.Go(func() { p.runPending(ctx, running) })
	}
	return nil, p.pending, nil
}

// runPending gets an allocation.
func (p *Pool) runPending(ctx context.Context, running *pendingAllocation) {
	defer running.cancel()
	a, err := p.choose(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case err != nil:
	case p.closed:
		a.giveBack()
		err = ErrClosed
	case p.live[a]: // else it is lost already, and the callers begin anew
		p.current = a
		a.linger = time.AfterFunc(p.timing.linger, func() { p.expire(a) })
	}
	p.pending = nil
	running.err = err
	close(running.done)
}

// release counts one user fewer.
func (p *Pool) release(a *Allocation) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if a.users--; a.users <= 0 {
		a.linger.Reset(p.timing.linger)
	}
}

// expire gives an allocation back that has no users.
func (p *Pool) expire(a *Allocation) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if a.users <= 0 {
		if p.current == a {
			p.current = nil
		}
		a.giveBack()
	}
}

// addLive notes an allocation that is asked for. It returns false if the pool is closed.
func (p *Pool) addLive(a *Allocation) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.live[a] = false
	}
	return !p.closed
}

// markMade notes that the server has made an allocation.
func (p *Pool) markMade(a *Allocation) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.live[a] = true
}

// removeLive forgets an allocation that has ended.
func (p *Pool) removeLive(a *Allocation, cause error) {
	p.mu.Lock()
	lost := p.live[a] && !errors.Is(cause, ErrReleased) && !errors.Is(cause, ErrClosed)
	delete(p.live, a)
	for other, made := range p.live {
		lost = lost && (!made || other.server != a.server) // else the server can be used
	}
	if p.current == a {
		p.current = nil
	}
	p.mu.Unlock()
	if lost {
		p.noteLoss(a, cause)
	}
}

// Suspect asks the server at once whether the allocation is still there. It is for callers
// that no longer receive anything through it.
func (p *Pool) Suspect() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for a, made := range p.live {
		if !made {
			continue
		}
		select {
		case a.suspect <- struct{}{}:
		default: // it is about to ask
		}
	}
}

// Close gives back all allocations, also pending ones, and waits for all that the pool has
// started, about a second at most. It may be called again.
func (p *Pool) Close() error {
	p.mu.Lock()
	p.closed, p.current = true, nil
	if p.pending != nil {
		p.pending.cancel()
	}
	for a := range p.live {
		a.giveBack()
	}
	p.mu.Unlock()
	limit := time.AfterFunc(releaseTimeout, p.closeConns)
	p.tasks.Wait()
	limit.Stop()
	return nil
}

// closeConns ends whatever did not end by itself.
func (p *Pool) closeConns() {
	p.mu.Lock()
	var conns []*serverConn
	for a := range p.live {
		conns = append(conns, a.conn)
	}
	p.mu.Unlock()
	for _, c := range conns {
		c.close(ErrClosed)
	}
}
