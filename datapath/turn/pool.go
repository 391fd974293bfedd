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
	tasks   sync.WaitGroup // attempts and allocations

	mu      sync.Mutex
	closed  bool
	pending *pendingAllocation // that runs
	current *Allocation
	live    map[*Allocation]bool // of attempts; true: the server has made it
}

// server is one with what is known of it.
type server struct {
	config  Server
	uri     URI
	dropped atomic.Uint64

	// guarded by mu of the pool
	state  string
	reason string
	since  time.Time
	retry  time.Time // not to be asked before
	worked time.Time // the last success
}

// pendingAllocation is one that several may wait for.
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

// Acquire returns the engine's allocation and gets one if there is none. Each
// success is followed by one Release of the caller.
func (p *Pool) Acquire(ctx context.Context) (*Allocation, error) {
	for {
		a, running, err := p.take() //nolint:contextcheck // an attempt serves all who wait
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

// take returns the allocation, or the attempt to wait for.
func (p *Pool) take() (*Allocation, *pendingAllocation, error) {
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
		ctx, cancel := context.WithCancel(context.Background()) // serves all who wait
		running := &pendingAllocation{cancel: cancel, done: make(chan struct{})}
		p.pending = running
		p.tasks.Go(func() { p.begin(ctx, running) })
	}
	return nil, p.pending, nil
}

// begin carries out an attempt.
func (p *Pool) begin(ctx context.Context, running *pendingAllocation) {
	defer running.cancel()
	a, err := p.choose(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case err != nil:
	case p.closed:
		a.giveBack()
		err = ErrClosed
	case p.live[a]: // else it is lost already, and whoever waits begins anew
		p.current = a
		a.linger = time.AfterFunc(p.timing.linger, func() { p.expire(a) })
	}
	p.pending = nil
	running.err = err
	close(running.done)
}

// release counts a user less.
func (p *Pool) release(a *Allocation) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if a.users--; a.users <= 0 {
		a.linger.Reset(p.timing.linger)
	}
}

// expire gives an allocation back that nobody has taken up again.
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

// enter notes an allocation that is being made, unless the pool is closed.
func (p *Pool) enter(a *Allocation) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.live[a] = false
	}
	return !p.closed
}

// made notes that the server has made it.
func (p *Pool) made(a *Allocation) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.live[a] = true
}

// ended forgets an allocation.
func (p *Pool) ended(a *Allocation, cause error) {
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
		p.lost(a, cause)
	}
}

// Suspect has the server asked at once whether the allocation is still there,
// for those who see that nothing comes through it any more.
func (p *Pool) Suspect() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for a, made := range p.live {
		if !made {
			continue
		}
		select {
		case a.suspect <- struct{}{}:
		default: // it will be
		}
	}
}

// Close gives the allocation back, and those of attempts, and waits for the end
// of all that the pool began, about a second at most. It may be called again.
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
	limit := time.AfterFunc(parting, p.cut)
	p.tasks.Wait()
	limit.Stop()
	return nil
}

// cut ends what did not end by itself.
func (p *Pool) cut() {
	p.mu.Lock()
	var links []*link
	for a := range p.live {
		links = append(links, a.link)
	}
	p.mu.Unlock()
	for _, l := range links {
		l.close(ErrClosed)
	}
}
