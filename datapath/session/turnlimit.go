package session

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"evio/datapath/drops"
	"evio/datapath/turn"
	"evio/datapath/udp"
)

const (
	// maxTURNAddresses is how many addresses of one peer may send to the relayed address,
	// which all sessions share.
	maxTURNAddresses = 32
	// turnAddressTime is how long an address that is not used keeps its place. The TURN
	// server's permission for it has certainly expired by then.
	turnAddressTime = 2*turn.PeerIdle + time.Minute
)

var errTURNAddresses = errors.New("the peer has too many addresses at the TURN server")

// turnAdmission bounds the addresses that may send to the relayed address, for each peer by
// its key. A peer keeps its places over all its sessions. The zero value is empty.
type turnAdmission struct {
	mu    sync.Mutex
	peers map[[32]byte]map[netip.Addr]time.Duration // when it was used last
}

// admit gives an address of a peer a place, if one is free.
func (a *turnAdmission) admit(now time.Duration, peer [32]byte, addr netip.Addr) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	places := a.peers[peer]
	if _, in := places[addr]; !in {
		forget(now, places)
		if len(places) == maxTURNAddresses {
			return false
		}
	}
	if places == nil {
		places = a.enter(now, peer)
	}
	places[addr] = now
	return true
}

// enter begins the places of a peer, and forgets peers whose places have all expired.
func (a *turnAdmission) enter(now time.Duration, peer [32]byte) map[netip.Addr]time.Duration {
	if a.peers == nil {
		a.peers = make(map[[32]byte]map[netip.Addr]time.Duration)
	}
	maps.DeleteFunc(a.peers, func(_ [32]byte, places map[netip.Addr]time.Duration) bool {
		forget(now, places)
		return len(places) == 0
	})
	places := make(map[netip.Addr]time.Duration)
	a.peers[peer] = places
	return places
}

func forget(now time.Duration, places map[netip.Addr]time.Duration) {
	maps.DeleteFunc(places, func(_ netip.Addr, used time.Duration) bool { return now-used >= turnAddressTime })
}

// limitedAllocation is an allocation as one session may use it: for few addresses of its peer.
type limitedAllocation struct {
	allocation
	session *Session
}

var _ allocation = limitedAllocation{}

// Permit implements allocation, for the addresses of its family that have a place.
func (l limitedAllocation) Permit(ctx context.Context, peers ...netip.Addr) error {
	is4 := l.Addr().Addr().Is4()
	admitted := slices.DeleteFunc(slices.Clone(peers), func(a netip.Addr) bool { return a.Is4() != is4 || !l.admits(a) })
	return l.allocation.Permit(ctx, admitted...)
}

// Send implements allocation. The allocation asks the server by itself for the permission
// that this needs.
func (l limitedAllocation) Send(to netip.AddrPort, datagram []byte) error {
	if !l.admits(to.Addr()) {
		return errTURNAddresses
	}
	return l.allocation.Send(to, datagram)
}

// SendRuns implements allocation, as Send does.
func (l limitedAllocation) SendRuns(to netip.AddrPort, runs []udp.Run) (int, error) {
	if !l.admits(to.Addr()) {
		return 0, errTURNAddresses
	}
	return l.allocation.SendRuns(to, runs)
}

func (l limitedAllocation) admits(addr netip.Addr) bool {
	s := l.session
	if s.transport.turnAdmission.admit(s.transport.now(), [32]byte(s.options.RemoteKey), addr.Unmap()) {
		return true
	}
	s.drops.Add(drops.PathLimit)
	return false
}
