package turn

import (
	"errors"
	"net/netip"
	"sync"
	"time"

	"github.com/pion/stun/v4"

	"evio/datapath/udp"
)

const (
	// maxPeersPerRequest bounds the peers of one request. With IPv6 addresses it stays
	// below the smallest MTU.
	maxPeersPerRequest = 16
	// maxPermissionRequests bounds such requests at a time.
	maxPermissionRequests = 4
)

// pendingPermission is a peer that a permission is asked for.
type pendingPermission struct {
	peer netip.Addr
	*permission
}

// startRequestingLocked starts a goroutine that asks for the wanted permissions, unless enough
// run. It returns false if none runs, because the allocation has ended.
func (a *Allocation) startRequestingLocked() bool {
	if a.requesting < maxPermissionRequests && a.startLocked(a.requestPermissions) {
		a.requesting++
	}
	return a.requesting > 0
}

// requestPermissions asks for wanted permissions until there are none. The server grants all
// peers of a request or none (RFC 8656 section 10.2), so after a refusal it asks for each
// alone.
func (a *Allocation) requestPermissions() {
	for batch := a.nextBatch(); len(batch) > 0; batch = a.nextBatch() {
		err := a.createPermission(batch...)
		if len(batch) == 1 || !isRefusal(err) {
			a.finishBatch(err, batch...)
			continue
		}
		var alone sync.WaitGroup
		for _, one := range batch {
			alone.Go(func() { a.finishBatch(a.createPermission(one), one) })
		}
		alone.Wait()
	}
}

// nextBatch takes wanted permissions. It returns none when the goroutine is to end.
func (a *Allocation) nextBatch() (batch []pendingPermission) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for peer, p := range a.permissions {
		if p.wanted && !p.asking && len(batch) < maxPeersPerRequest {
			p.asking = true
			batch = append(batch, pendingPermission{peer, p})
		}
	}
	if len(batch) == 0 {
		a.requesting--
	}
	return batch
}

func (a *Allocation) createPermission(batch ...pendingPermission) error {
	peers := make([]stun.Setter, len(batch))
	for i, one := range batch {
		peers[i] = peerAddress(netip.AddrPortFrom(one.peer, 0))
	}
	_, err := a.conn.request(stun.MethodCreatePermission, peers...)
	return err
}

// finishBatch notes the answer to a request and sends what has waited for it.
func (a *Allocation) finishBatch(err error, batch ...pendingPermission) {
	o := a.conn.compose()
	a.mu.Lock()
	for _, one := range batch {
		a.finishLocked(o, one.peer, one.permission, err, time.Now())
	}
	a.mu.Unlock()
	count := o.count
	sent, _ := a.conn.send(o) // what has not gone is counted
	a.server.dropped.Add(uint64(count - sent))
}

// finishLocked notes the answer for one peer. It adds the messages that can be sent now.
func (a *Allocation) finishLocked(o *outgoing, peer netip.Addr, p *permission, err error, now time.Time) {
	first := p.granted.IsZero()
	p.wanted, p.asking = false, false
	switch {
	case err == nil:
		p.granted = now
	case first:
		p.err, p.since = err, now
		a.server.dropped.Add(uint64(len(p.waiting)))
		p.waiting = nil
	case a.permissions[peer] == p && !errors.Is(err, errQueueFull): // after that error it is renewed later
		delete(a.permissions, peer)
	}
	for _, w := range p.waiting {
		if a.composeLocked(o, w.to, []udp.Run{{Bytes: w.datagram}}, 1, now) != nil {
			a.server.dropped.Add(1)
		}
	}
	p.waiting = nil
	if first {
		close(p.answered)
	}
}
