package turn

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/pion/stun/v4"
)

const (
	// MaxPeers bounds the addresses that an allocation has permissions for.
	MaxPeers = 512
	// waitingDatagrams are kept while a permission is asked for.
	waitingDatagrams = 8
)

var (
	// ErrPeer is what Send and Permit say of a peer that is never relayed to.
	ErrPeer = errors.New("not relayed to loopback, link-local, multicast or unspecified addresses, nor from one family to the other")
	// ErrPeers is the bound of MaxPeers.
	ErrPeers = fmt.Errorf("more than %d peers at one relayed address", MaxPeers)
)

// permission lets a peer's address reach us and be reached.
//
//	asked ─ success → granted ─ idle, or refused again → gone
//	asked ─ refused → refused ─ RetryAfter → asked
type permission struct {
	answered chan struct{} // closed when the first request was
	granted  time.Time     // zero until then
	err      error         // refused or lost; set before answered is closed
	since    time.Time     // of err
	used     time.Time
	waiting  []waiting
}

type waiting struct {
	to       netip.AddrPort
	datagram []byte
}

// acceptable tells whether a peer may be relayed to at all.
func (a *Allocation) acceptable(peer netip.Addr) bool {
	switch {
	case !peer.IsValid() || peer.Zone() != "" || peer.Is4() != a.relayed.Addr().Is4():
		return false
	case peer.IsLoopback():
		return a.pool.config.AllowLoopback
	default:
		return !peer.IsUnspecified() && !peer.IsMulticast() && !peer.IsLinkLocalUnicast() &&
			peer != netip.AddrFrom4([4]byte{255, 255, 255, 255})
	}
}

// Permit lets peers at these addresses be sent to and heard, and waits until the
// server has agreed. A permission is kept while the peer is sent to or permitted
// again within PeerIdle. The error has a sentence for each peer that is refused.
func (a *Allocation) Permit(ctx context.Context, peers ...netip.Addr) error {
	asked := make([]*permission, len(peers))
	errs := make([]error, len(peers))
	a.mu.Lock()
	for i, peer := range peers {
		asked[i], errs[i] = a.askLocked(peer.Unmap(), time.Now())
	}
	a.mu.Unlock()
	for i, peer := range peers {
		if p := asked[i]; p != nil {
			select {
			case <-p.answered:
				errs[i] = p.err
			case <-a.done:
				errs[i] = a.err
			case <-ctx.Done():
				return fmt.Errorf("permit peers: %w", ctx.Err())
			}
		}
		if errs[i] != nil {
			errs[i] = fmt.Errorf("peer %s: %w", peer, errs[i])
		}
	}
	return errors.Join(errs...)
}

// askLocked returns the permission of a peer, asking for it if there is none.
func (a *Allocation) askLocked(peer netip.Addr, now time.Time) (*permission, error) {
	if !a.acceptable(peer) {
		return nil, ErrPeer
	}
	p := a.permissions[peer]
	if p != nil && p.err != nil && now.Sub(p.since) >= a.pool.timing.retry {
		p = nil
	}
	if p == nil {
		if _, again := a.permissions[peer]; !again && len(a.permissions) >= MaxPeers {
			return nil, ErrPeers
		}
		p = &permission{answered: make(chan struct{})}
		if !a.beginLocked(func() { a.grant(peer, p) }) {
			return nil, ErrReleased
		}
		a.permissions[peer] = p
	}
	p.used = now
	return p, nil
}

// grant asks the server for a permission and sends what waited for it.
func (a *Allocation) grant(peer netip.Addr, p *permission) {
	_, err := a.link.request(stun.MethodCreatePermission, peerAddress(netip.AddrPortFrom(peer, 0)))
	for _, message := range a.settle(p, err, time.Now()) {
		if a.link.send(message) != nil {
			a.server.dropped.Add(1)
		}
	}
}

// settle notes the answer and returns what can be sent now.
func (a *Allocation) settle(p *permission, err error, now time.Time) (messages [][]byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err != nil {
		p.err, p.since = err, now
		a.server.dropped.Add(uint64(len(p.waiting)))
	} else {
		p.granted = now
		for _, w := range p.waiting {
			message, err := a.composeLocked(w.to, w.datagram, now)
			if err != nil {
				a.server.dropped.Add(1)
				continue
			}
			messages = append(messages, message)
		}
	}
	p.waiting = nil
	close(p.answered)
	return messages
}

// renew repeats the request for a granted permission.
func (a *Allocation) renew(peer netip.Addr, p *permission) {
	_, err := a.link.request(stun.MethodCreatePermission, peerAddress(netip.AddrPortFrom(peer, 0)))
	a.mu.Lock()
	defer a.mu.Unlock()
	if err != nil {
		delete(a.permissions, peer)
	} else {
		p.granted = time.Now()
	}
}
