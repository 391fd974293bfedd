package turn

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"
)

const (
	// MaxPeers bounds the addresses that an allocation has permissions for. The
	// one that was unused longest makes room for another.
	MaxPeers = 512
	// waitingDatagrams are kept while a permission is asked for.
	waitingDatagrams = 8
)

var (
	// ErrPeer is what Send and Permit say of a peer that is never relayed to.
	ErrPeer = errors.New("not relayed to loopback, link-local, multicast or unspecified addresses, nor from one family to the other")
	// ErrPeers is that MaxPeers others came before a peer's turn.
	ErrPeers = fmt.Errorf("more than %d peers at one relayed address", MaxPeers)
)

// permission lets a peer's address reach us and be reached.
//
//	asked ─ success → granted ─ idle, or refused again → gone
//	asked ─ refused → refused ─ RetryAfter → asked
//
// Any of them may have to make room for another peer.
type permission struct {
	wanted   bool          // a request is to be made or runs
	asking   bool          // it runs
	answered chan struct{} // closed when the first request was
	granted  time.Time     // zero until then
	err      error         // refused or lost; set before answered is closed
	since    time.Time     // of err
	used     time.Time     // by us
	heard    time.Time     // from the peer
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
		if !a.grantLocked() {
			return nil, ErrReleased
		}
		if _, again := a.permissions[peer]; !again && len(a.permissions) >= MaxPeers {
			a.makeRoomLocked(now)
		}
		p = &permission{wanted: true, answered: make(chan struct{})}
		a.permissions[peer] = p
	}
	p.used = now
	return p, nil
}

// makeRoomLocked forgets the peer that was neither sent to nor heard longest.
func (a *Allocation) makeRoomLocked(now time.Time) {
	var (
		oldest *permission
		whose  netip.Addr
	)
	for peer, p := range a.permissions {
		if oldest == nil || p.last().Before(oldest.last()) {
			oldest, whose = p, peer
		}
	}
	delete(a.permissions, whose)
	if oldest.wanted && !oldest.asking && oldest.granted.IsZero() {
		a.settleLocked(whose, oldest, ErrPeers, now)
	}
}

// last returns when the peer was sent to or heard last.
func (p *permission) last() time.Time {
	if p.heard.After(p.used) {
		return p.heard
	}
	return p.used
}

// hearLocked notes that a peer sent something and tells whether it may.
func (a *Allocation) hearLocked(peer netip.Addr, now time.Time) bool {
	p := a.permissions[peer]
	if p == nil || p.err != nil {
		return false
	}
	p.heard = now
	return true
}
