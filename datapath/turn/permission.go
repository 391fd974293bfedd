package turn

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"evio/datapath/udp"
)

const (
	// MaxPeers bounds the addresses that an allocation has permissions for. The one that
	// was unused for the longest time makes room for another.
	MaxPeers = 512
	// maxWaiting is how many datagrams are kept while a permission is asked for.
	maxWaiting = 8
)

var (
	// ErrPeer is the error of Send and Permit for a peer that is never relayed to.
	ErrPeer = errors.New("not relayed to loopback, link-local, multicast or unspecified addresses, nor from one family to the other")
	// ErrPeers is the error for a peer that had to make room before the server was asked.
	ErrPeers = fmt.Errorf("more than %d peers at one relayed address", MaxPeers)
)

// permission lets a peer's address send to the relayed address and be sent to.
//
//	asked ─ success → granted ─ idle, or refused again → gone
//	asked ─ refused → refused ─ RetryAfter → asked
//
// In any state a permission may have to make room for another peer.
type permission struct {
	wanted   bool          // a request is to be made, or under way
	asking   bool          // a request is under way
	answered chan struct{} // closed when the first request is answered
	granted  time.Time     // zero until then
	err      error         // refused or lost; set before answered is closed
	since    time.Time     // of err
	used     time.Time     // when it was last sent to
	heard    time.Time     // when the peer last sent
	waiting  []waitingDatagram
}

type waitingDatagram struct {
	to       netip.AddrPort
	datagram []byte
}

// wait keeps copies of datagrams until the permission is granted, as far as there is room. It
// returns how many it has not kept.
func (p *permission) wait(to netip.AddrPort, runs []udp.Run) (dropped uint64) {
	for _, r := range runs {
		for datagram := range r.Datagrams() {
			if len(p.waiting) == maxWaiting {
				dropped++
				continue
			}
			p.waiting = append(p.waiting, waitingDatagram{to, bytes.Clone(datagram)})
		}
	}
	return dropped
}

// acceptable reports whether a peer may be relayed to at all.
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

// Permit asks the server to relay to and from peers at these addresses, and waits for its
// answers. A permission is kept while the peer is sent to, or permitted again, within
// PeerIdle. The error has a sentence for each peer that is refused.
func (a *Allocation) Permit(ctx context.Context, peers ...netip.Addr) error {
	asked := make([]*permission, len(peers))
	errs := make([]error, len(peers))
	a.mu.Lock()
	for i, peer := range peers {
		asked[i], errs[i] = a.permissionLocked(peer.Unmap(), time.Now())
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

// permissionLocked returns the permission of a peer, and asks for it if there is none.
func (a *Allocation) permissionLocked(peer netip.Addr, now time.Time) (*permission, error) {
	if !a.acceptable(peer) {
		return nil, ErrPeer
	}
	p := a.permissions[peer]
	if p != nil && p.err != nil && now.Sub(p.since) >= a.pool.timing.retry {
		p = nil
	}
	if p == nil {
		if !a.startRequestingLocked() {
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

// makeRoomLocked forgets the peer whose last datagram, in either direction, is oldest.
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
		a.finishLocked(nil, whose, oldest, ErrPeers, now) // with an error nothing is sent
	}
}

// last returns when a datagram was last sent to the peer or came from it.
func (p *permission) last() time.Time {
	if p.heard.After(p.used) {
		return p.heard
	}
	return p.used
}

// heardLocked notes that a peer has sent something, and reports whether it may.
func (a *Allocation) heardLocked(peer netip.Addr, now time.Time) bool {
	p := a.permissions[peer]
	if p == nil || p.err != nil {
		return false
	}
	p.heard = now
	return true
}
