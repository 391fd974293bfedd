package session

import (
	"context"
	"net/netip"
	"time"

	"evio/datapath/session/path"
)

const (
	// relayRest is how long nothing may come by the relay before a session that
	// has a direct path gives it back: the peer has left it, too.
	relayRest = 4 * time.Second
)

// tenant is a session's share in an allocation. Its goroutine does what waits for
// the server; it ends with stop.
type tenant struct {
	cancel  context.CancelFunc
	done    chan struct{}
	got     chan relay        // receives the allocation, nil if there is none
	lost    chan struct{}     // closed when it is gone
	permits chan []netip.Addr // capacity 1: who may send to it
}

// rent starts to acquire an allocation to which the peer's candidates may send.
func (s *Session) rent(ctx context.Context, peer []path.Candidate) *tenant {
	ctx, cancel := context.WithCancel(ctx)
	t := &tenant{
		cancel:  cancel,
		done:    make(chan struct{}),
		got:     make(chan relay, 1),
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

func (t *tenant) run(ctx context.Context, s *Session) {
	acquired, err := s.transport.relays.Acquire(ctx)
	if err != nil {
		s.log.WithError(err).Debug("no relay")
		t.got <- nil
		return
	}
	defer acquired.Release()
	r := lease{acquired, s}
	for told := false; ; {
		select {
		case <-ctx.Done():
			return
		case <-r.Done():
			s.log.WithError(r.Err()).Debug("relay is lost")
			close(t.lost)
			return
		case addrs := <-t.permits:
			if err := r.Permit(ctx, addrs...); err != nil && ctx.Err() == nil {
				s.log.WithError(err).Debug("relay does not take all candidates of the peer")
			}
			if !told {
				told = true
				t.got <- r
			}
		}
	}
}

// permit lets the peer's candidates send to the allocation. It is called by the
// owner only.
func (t *tenant) permit(peer []path.Candidate) {
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
func (t *tenant) offers() <-chan relay {
	if t == nil {
		return nil
	}
	return t.got
}

// losses is closed when the allocation is gone.
func (t *tenant) losses() <-chan struct{} {
	if t == nil {
		return nil
	}
	return t.lost
}

// stop gives the allocation back, if there is one.
func (t *tenant) stop() {
	if t == nil {
		return
	}
	t.cancel()
	<-t.done
}
