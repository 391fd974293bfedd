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
)

const (
	// maxGuests is how many addresses of one peer have a place at the relayed address,
	// which all sessions share.
	maxGuests = 32
	// guestTime is how long an address that is not used keeps its place: until the
	// permission for it has certainly expired.
	guestTime = 2*turn.PeerIdle + time.Minute
)

var errGuests = errors.New("the peer has too many addresses at the relay")

// guests are the addresses that peers, by their keys, have at the relayed address.
// A peer keeps its places over all its sessions. The zero value is empty.
type guests struct {
	mu    sync.Mutex
	peers map[[32]byte]map[netip.Addr]time.Duration // when it was used last
}

// admit gives an address of a peer a place, if there is one.
func (g *guests) admit(now time.Duration, peer [32]byte, addr netip.Addr) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	places := g.peers[peer]
	if _, in := places[addr]; !in {
		forget(now, places)
		if len(places) == maxGuests {
			return false
		}
	}
	if places == nil {
		places = g.enter(now, peer)
	}
	places[addr] = now
	return true
}

// enter begins the places of a peer. Those of peers that have left are forgotten.
func (g *guests) enter(now time.Duration, peer [32]byte) map[netip.Addr]time.Duration {
	if g.peers == nil {
		g.peers = make(map[[32]byte]map[netip.Addr]time.Duration)
	}
	maps.DeleteFunc(g.peers, func(_ [32]byte, places map[netip.Addr]time.Duration) bool {
		forget(now, places)
		return len(places) == 0
	})
	places := make(map[netip.Addr]time.Duration)
	g.peers[peer] = places
	return places
}

func forget(now time.Duration, places map[netip.Addr]time.Duration) {
	maps.DeleteFunc(places, func(_ netip.Addr, used time.Duration) bool { return now-used >= guestTime })
}

// lease is a relay as one session may use it: for few addresses of its peer.
type lease struct {
	relay
	session *Session
}

var _ relay = lease{}

// Permit implements relay, for the addresses of its family that have a place.
func (l lease) Permit(ctx context.Context, peers ...netip.Addr) error {
	is4 := l.Addr().Addr().Is4()
	admitted := slices.DeleteFunc(slices.Clone(peers), func(a netip.Addr) bool { return a.Is4() != is4 || !l.admits(a) })
	return l.relay.Permit(ctx, admitted...)
}

// Send implements relay. An allocation asks by itself for permission to reach whom
// it sends to.
func (l lease) Send(to netip.AddrPort, datagram []byte) error {
	if !l.admits(to.Addr()) {
		return errGuests
	}
	return l.relay.Send(to, datagram)
}

func (l lease) admits(addr netip.Addr) bool {
	s := l.session
	if s.transport.guests.admit(s.transport.now(), [32]byte(s.options.RemoteKey), addr.Unmap()) {
		return true
	}
	s.drops.Add(drops.PathLimit)
	return false
}
