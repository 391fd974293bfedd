package turn

import (
	"errors"
	"net/netip"
	"sync"
	"time"

	"github.com/pion/stun/v4"
)

const (
	// grantPeers is how many peers one request is for: with IPv6 addresses it
	// stays below the smallest MTU.
	grantPeers = 16
	// maxGrants bounds such requests at a time.
	maxGrants = 4
)

// pendingPermission is a peer that a permission is asked for.
type pendingPermission struct {
	peer netip.Addr
	*permission
}

// grantLocked has someone ask for the permissions that are wanted.
func (a *Allocation) grantLocked() bool {
	if a.granting < maxGrants && a.beginLocked(a.grant) {
		a.granting++
	}
	return a.granting > 0
}

// grant asks for wanted permissions until there are none. The server grants all
// peers of a request or none (RFC 8656 section 10.2), so that after a refusal
// each is asked for alone.
func (a *Allocation) grant() {
	for batch := a.batch(); len(batch) > 0; batch = a.batch() {
		err := a.createPermission(batch...)
		if len(batch) == 1 || !isRefusal(err) {
			a.finish(err, batch...)
			continue
		}
		var alone sync.WaitGroup
		for _, one := range batch {
			alone.Go(func() { a.finish(a.createPermission(one), one) })
		}
		alone.Wait()
	}
}

// batch takes wanted permissions, or ends the asking.
func (a *Allocation) batch() (batch []pendingPermission) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for peer, p := range a.permissions {
		if p.wanted && !p.asking && len(batch) < grantPeers {
			p.asking = true
			batch = append(batch, pendingPermission{peer, p})
		}
	}
	if len(batch) == 0 {
		a.granting--
	}
	return batch
}

func (a *Allocation) createPermission(batch ...pendingPermission) error {
	peers := make([]stun.Setter, len(batch))
	for i, one := range batch {
		peers[i] = peerAddress(netip.AddrPortFrom(one.peer, 0))
	}
	_, err := a.link.request(stun.MethodCreatePermission, peers...)
	return err
}

// finish notes an answer and sends what waited for it.
func (a *Allocation) finish(err error, batch ...pendingPermission) {
	var messages [][]byte
	a.mu.Lock()
	for _, one := range batch {
		messages = append(messages, a.settleLocked(one.peer, one.permission, err, time.Now())...)
	}
	a.mu.Unlock()
	for _, message := range messages {
		if a.link.send(message) != nil {
			a.server.dropped.Add(1)
		}
	}
}

// settleLocked notes the answer for one peer and returns what can be sent now.
func (a *Allocation) settleLocked(peer netip.Addr, p *permission, err error, now time.Time) (messages [][]byte) {
	first := p.granted.IsZero()
	p.wanted, p.asking = false, false
	switch {
	case err == nil:
		p.granted = now
	case first:
		p.err, p.since = err, now
		a.server.dropped.Add(uint64(len(p.waiting)))
		p.waiting = nil
	case a.permissions[peer] == p && !errors.Is(err, errQueueFull): // else it is renewed later
		delete(a.permissions, peer)
	}
	for _, w := range p.waiting {
		message, err := a.composeLocked(w.to, w.datagram, now)
		if err != nil {
			a.server.dropped.Add(1)
			continue
		}
		messages = append(messages, message)
	}
	p.waiting = nil
	if first {
		close(p.answered)
	}
	return messages
}
