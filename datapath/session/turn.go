package session

import (
	"context"
	"net/netip"
	"time"

	"evio/datapath/session/connect"
	"evio/datapath/session/path"
	"evio/datapath/turn"
)

const (
	// turnLinger is how long nothing may come through the allocation before a session
	// that has a direct path gives it back: the peer does not use it any more either.
	turnLinger = 4 * time.Second
)

// allocation is what sessions need of a *turn.Allocation.
type allocation interface {
	connect.Allocation
	Server() string
	Transport() string
	Permit(ctx context.Context, peers ...netip.Addr) error
	Done() <-chan struct{}
	Err() error
	Release()
}

// allocationPool is what a transport needs of a *turn.Pool.
type allocationPool interface {
	Acquire(ctx context.Context) (allocation, error)
	Suspect()
	Status() []turn.Status
	Close() error
}

// turnPool is a pool as sessions use it.
type turnPool struct{ *turn.Pool }

var _ allocationPool = turnPool{}

// Acquire implements allocationPool.
func (p turnPool) Acquire(ctx context.Context) (allocation, error) {
	a, err := p.Pool.Acquire(ctx)
	if err != nil {
		return nil, err // not a nil allocation in an interface
	}
	return a, nil
}

// turnClient is a session's share in an allocation of a TURN server. Its goroutine does what
// waits for the server; stop ends it.
type turnClient struct {
	cancel  context.CancelFunc
	done    chan struct{}
	ready   chan allocation   // receives the allocation, nil if there is none
	lost    chan struct{}     // closed when it is gone
	permits chan []netip.Addr // capacity 1: addresses that may send to it
}

// acquireTURN starts to get an allocation that the peer's candidates may send to.
func acquireTURN(ctx context.Context, s *Session, peer []path.Candidate) *turnClient {
	ctx, cancel := context.WithCancel(ctx)
	t := &turnClient{
		cancel:  cancel,
		done:    make(chan struct{}),
		ready:   make(chan allocation, 1),
		lost:    make(chan struct{}),
		permits: make(chan []netip.Addr, 1),
	}
	t.permit(peer)
	go func() {
		defer close(t.done)
		t.run(ctx, s)
	}()
	return t
}

func (t *turnClient) run(ctx context.Context, s *Session) {
	acquired, err := s.transport.turnPool.Acquire(ctx)
	if err != nil {
		s.log.WithError(err).Debug("no TURN allocation")
		t.ready <- nil
		return
	}
	defer acquired.Release()
	r := limitedAllocation{acquired, s}
	for isOffered := false; ; {
		select {
		case <-ctx.Done():
			return
		case <-r.Done():
			s.log.WithError(r.Err()).Debug("TURN allocation is lost")
			close(t.lost)
			return
		case addrs := <-t.permits:
			if err := r.Permit(ctx, addrs...); err != nil && ctx.Err() == nil {
				s.log.WithError(err).Debug("TURN server does not take all candidates of the peer")
			}
			if !isOffered {
				isOffered = true
				t.ready <- r
			}
		}
	}
}

// permit lets the peer's candidates send to the allocation. It is called by the
// owner only.
func (t *turnClient) permit(peer []path.Candidate) {
	var addrs []netip.Addr
	for _, c := range peer {
		addrs = append(addrs, c.Addr.Addr())
	}
	select {
	case <-t.permits: // older than these
	default:
	}
	t.permits <- addrs
}

// offers receives the allocation, nil if there is none to have.
func (t *turnClient) offers() <-chan allocation {
	if t == nil {
		return nil
	}
	return t.ready
}

// losses is closed when the allocation is gone.
func (t *turnClient) losses() <-chan struct{} {
	if t == nil {
		return nil
	}
	return t.lost
}

// stop gives the allocation back, if there is one, and waits for the goroutine.
func (t *turnClient) stop() {
	if t == nil {
		return
	}
	t.cancel()
	<-t.done
}
