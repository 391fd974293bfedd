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

// ErrReleased is why an allocation ends that nobody needs any more.
var ErrReleased = errors.New("the relayed address was given back")

// Allocation is a relayed address, shared by all that have acquired it. It ends when it is
// lost, or a while after all have released it. Its methods may be called by any goroutine.
type Allocation struct {
	pool     *Pool
	server   *server
	conn     *serverConn
	relayed  netip.AddrPort
	lifetime time.Duration
	made     time.Time

	suspect     chan struct{} // capacity 1: asks for a request at once
	releasing   chan struct{} // closed to give the address back
	releaseOnce sync.Once
	done        chan struct{}
	err         error // set before done is closed

	users  int         // users and linger are guarded by mu of the pool
	linger *time.Timer // made when the pool takes it

	mu          sync.Mutex
	ended       bool           // nothing new begins
	tasks       sync.WaitGroup // requests in flight
	permissions map[netip.Addr]*permission
	requesting  int // goroutines that ask for permissions
	channels    map[netip.AddrPort]*binding
	numbers     map[uint16]netip.AddrPort // of bindings that have one
	lastNumber  uint16                    // the last one used
}

func newAllocation(p *Pool, s *server, c *serverConn) *Allocation {
	return &Allocation{
		pool: p, server: s, conn: c, made: wall.Now(), // the server judges by it
		suspect: make(chan struct{}, 1), releasing: make(chan struct{}), done: make(chan struct{}),
		permissions: make(map[netip.Addr]*permission),
		channels:    make(map[netip.AddrPort]*binding),
		numbers:     make(map[uint16]netip.AddrPort),
		lastNumber:  maxChannel,
	}
}

// Addr returns the relayed address.
func (a *Allocation) Addr() netip.AddrPort { return a.relayed }

// Server returns the server's URI as it was configured.
func (a *Allocation) Server() string { return a.server.config.URI }

// Transport returns how the server is reached: UDP, TCP or TLS.
func (a *Allocation) Transport() string { return a.server.uri.Transport }

// Done is closed when the relayed address is lost or given back.
func (a *Allocation) Done() <-chan struct{} { return a.done }

// Err returns why the allocation has ended, nil before Done is closed.
func (a *Allocation) Err() error {
	select {
	case <-a.done:
		return a.err
	default:
		return nil
	}
}

// Release ends the use of the allocation. It is called once for each Acquire, even after Done.
func (a *Allocation) Release() { a.pool.release(a) }

// giveBack makes run give the address back.
func (a *Allocation) giveBack() { a.releaseOnce.Do(func() { close(a.releasing) }) }

// run keeps the allocation until it is lost or given back.
func (a *Allocation) run() {
	ticker := time.NewTicker(a.refreshInterval())
	defer ticker.Stop()
	for cause := error(nil); cause == nil; {
		select {
		case <-a.conn.closed:
			cause = a.conn.cause
		case <-a.releasing:
			cause = ErrReleased
			limit := time.AfterFunc(releaseTimeout, func() { a.conn.close(noAnswerError(releaseTimeout)) })
			_, _ = a.conn.request(stun.MethodRefresh, lifetime(0)) // the server's own end comes after its lifetime
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

// refreshInterval is shorter than configured if the server gives the allocation a short
// lifetime.
func (a *Allocation) refreshInterval() time.Duration {
	return max(min(a.pool.timing.refresh, a.lifetime/3), time.Second/10)
}

// refresh renews the allocation. An error says that it is gone.
func (a *Allocation) refresh() error {
	_, err := a.conn.request(stun.MethodRefresh, lifetime(max(a.lifetime, permissionLifetime)))
	switch {
	case errors.Is(err, errQueueFull): // the next refresh may pass
		return nil
	case isRejected(err) && a.aged(time.Now()):
		return fmt.Errorf("%w (%w)", errExpired, err)
	default:
		return err
	}
}

// aged reports whether the credentials that were made for the allocation expire soon.
func (a *Allocation) aged(now time.Time) bool {
	return a.server.config.Secret != nil && wall.At(now).Sub(a.made) >= CredentialUse
}

// end closes everything and waits for it.
func (a *Allocation) end(cause error) {
	a.mu.Lock()
	a.ended = true
	a.mu.Unlock()
	a.err = cause
	a.pool.removeLive(a, cause)
	close(a.done)
	a.conn.close(cause)
	a.tasks.Wait()
	a.conn.tasks.Wait()
}

// startLocked starts a request that the data path does not wait for.
func (a *Allocation) startLocked(f func()) bool {
	if a.ended {
		return false
	}
	a.tasks.Go(f)
	return true
}
