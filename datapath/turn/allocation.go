package turn

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/pion/stun/v4"

	"evio/wall"
)

// ErrReleased is the end of an allocation that nobody needed any more.
var ErrReleased = errors.New("the relayed address was given back")

// Allocation is a relayed address, shared by those who acquired it. It ends
// when it is lost, or a while after all have released it.
type Allocation struct {
	pool    *Pool
	server  *server
	link    *link
	relayed netip.AddrPort
	life    time.Duration
	made    time.Time
	scratch stun.Message // of the reader

	suspect chan struct{} // capacity 1: asks for a request at once
	parting chan struct{} // closed when it shall be given back
	part    sync.Once
	done    chan struct{}
	err     error // set before done is closed

	users  int         // guarded by mu of the pool, as linger is
	linger *time.Timer // made when the pool takes it

	mu          sync.Mutex
	ended       bool           // nothing new begins
	tasks       sync.WaitGroup // requests in flight
	permissions map[netip.Addr]*permission
	granting    int // goroutines that ask for permissions
	channels    map[netip.AddrPort]*binding
	numbers     map[uint16]netip.AddrPort // of bindings that were asked for
	number      uint16                    // the last one used
}

func newAllocation(p *Pool, s *server, l *link) *Allocation {
	return &Allocation{
		pool: p, server: s, link: l, made: wall.Now(), // the server judges by it
		suspect: make(chan struct{}, 1), parting: make(chan struct{}), done: make(chan struct{}),
		permissions: make(map[netip.Addr]*permission),
		channels:    make(map[netip.AddrPort]*binding),
		numbers:     make(map[uint16]netip.AddrPort),
		number:      maxChannel,
	}
}

// Addr returns the relayed address.
func (a *Allocation) Addr() netip.AddrPort { return a.relayed }

// Server returns the server's URI as it was configured.
func (a *Allocation) Server() string { return a.server.config.URI }

// Transport returns how the server is reached: UDP, TCP or TLS.
func (a *Allocation) Transport() string { return a.server.uri.Transport }

// Done is closed when the relayed address serves nobody any more.
func (a *Allocation) Done() <-chan struct{} { return a.done }

// Err returns why, once Done is closed.
func (a *Allocation) Err() error {
	select {
	case <-a.done:
		return a.err
	default:
		return nil
	}
}

// Release ends the use by one who acquired it. It is called once for each
// Acquire, also after Done.
func (a *Allocation) Release() { a.pool.release(a) }

// giveBack begins the end.
func (a *Allocation) giveBack() { a.part.Do(func() { close(a.parting) }) }

// run keeps the allocation until it is lost or given back.
func (a *Allocation) run() {
	ticker := time.NewTicker(a.refreshInterval())
	defer ticker.Stop()
	for cause := error(nil); cause == nil; {
		select {
		case <-a.link.closed:
			cause = a.link.cause
		case <-a.parting:
			cause = ErrReleased
			limit := time.AfterFunc(parting, func() { a.link.close(silence(parting)) })
			_, _ = a.link.request(stun.MethodRefresh, lifetime(0)) // the server's own end comes after its lifetime
			limit.Stop()
		case <-a.suspect:
			cause = a.refresh()
		case <-ticker.C:
			if cause = a.refresh(); cause == nil {
				a.maintain(time.Now())
			}
		}
		if cause != nil {
			a.end(cause)
		}
	}
}

// refreshInterval is shorter than agreed if the server gives it a short life.
func (a *Allocation) refreshInterval() time.Duration {
	return max(min(a.pool.timing.refresh, a.life/3), time.Second/10)
}

// refresh keeps the allocation and tells whether it is there.
func (a *Allocation) refresh() error {
	_, err := a.link.request(stun.MethodRefresh, lifetime(max(a.life, permissionLifetime)))
	switch {
	case errors.Is(err, errQueueFull): // the next one may pass
		return nil
	case isRejected(err) && a.aged(time.Now()):
		return fmt.Errorf("%w (%w)", errExpired, err)
	default:
		return err
	}
}

// aged tells whether credentials that were made for it are about to expire.
func (a *Allocation) aged(now time.Time) bool {
	return a.server.config.Secret != nil && wall.At(now).Sub(a.made) >= CredentialUse
}

// end closes everything and waits for it.
func (a *Allocation) end(cause error) {
	a.mu.Lock()
	a.ended = true
	a.mu.Unlock()
	a.err = cause
	a.pool.ended(a, cause)
	close(a.done)
	a.link.close(cause)
	a.tasks.Wait()
	a.link.tasks.Wait()
}

// beginLocked starts a request that the data path does not wait for.
func (a *Allocation) beginLocked(f func()) bool {
	if a.ended {
		return false
	}
	a.tasks.Go(f)
	return true
}

// receive handles a message of the server.
func (a *Allocation) receive(b []byte) {
	switch m := read(b, &a.scratch); m.kind {
	case response:
		_, _ = a.link.client.HandleInbound(b, a.link.conn.RemoteAddr()) // an answer that nobody waits for is no matter
	case channel:
		a.mu.Lock()
		from, ok := a.numbers[m.channel]
		a.hearLocked(from.Addr(), time.Now())
		a.mu.Unlock()
		if ok {
			a.pool.config.Deliver(a, from, m.payload)
		}
	case data:
		a.mu.Lock()
		ok := a.hearLocked(m.from.Addr(), time.Now())
		a.mu.Unlock()
		if ok {
			a.pool.config.Deliver(a, m.from, m.payload)
		}
	default:
	}
}
