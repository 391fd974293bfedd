package path

import (
	"net/netip"
	"slices"

	"github.com/pion/webrtc/v4"
)

// hasLocal reports whether this node still has the local address of a route.
func (p *Selector) hasLocal(r Route) bool {
	if r.TURN {
		return r.Local == p.TURN
	}
	return slices.Contains(p.Hosts, r.Local)
}

// isKnown reports whether an address is known to be the peer's.
func (p *Selector) isKnown(remote netip.AddrPort) bool {
	return remote == p.Current.Remote || slices.Contains(p.seen, remote) || p.TypeOf(remote) != webrtc.ICECandidateTypePrflx
}

// TypeOf returns the type of an address of the peer, peer-reflexive if it has not named it.
func (p *Selector) TypeOf(remote netip.AddrPort) webrtc.ICECandidateType {
	return TypeOf(p.Known, remote)
}

// TypeOf returns the type that these candidates give an address, peer-reflexive if it is
// none of them.
func TypeOf(known []Candidate, remote netip.AddrPort) webrtc.ICECandidateType {
	for _, c := range known {
		if c.Addr == remote {
			return c.Type
		}
	}
	return webrtc.ICECandidateTypePrflx
}

// relayed reports whether a TURN server of either end carries a route.
func (p *Selector) relayed(r Route) bool {
	return r.TURN || p.TypeOf(r.Remote) == webrtc.ICECandidateTypeRelay
}

func (p *Selector) better(a, b Route) bool { return !p.relayed(a) && p.relayed(b) }

// pairs returns the routes other than the current. Direct ones come first, and those of the
// first addresses of both ends come before others.
func (p *Selector) pairs() []Route {
	var direct, indirect []netip.AddrPort // addresses of the peer
	for _, c := range p.Known {
		if c.Type == webrtc.ICECandidateTypeRelay {
			indirect = append(indirect, c.Addr)
		} else {
			direct = append(direct, c.Addr)
		}
	}
	direct = append(direct, p.seen...)
	if r := p.Current.Remote; p.TypeOf(r) == webrtc.ICECandidateTypePrflx && !slices.Contains(direct, r) {
		direct = append(direct, r)
	}
	var turn []netip.AddrPort
	if p.TURN.IsValid() {
		turn = []netip.AddrPort{p.TURN}
	}
	routes := cross(p.Hosts, direct, false)
	relayed := slices.Concat(cross(p.Hosts, indirect, false), cross(turn, indirect, true), cross(turn, direct, true))
	// Relayed routes are few and the last resort, so they always find room.
	routes = routes[:min(len(routes), MaxPairs-min(len(relayed), MaxPairs/2))]
	routes = append(routes, relayed[:min(len(relayed), MaxPairs-len(routes))]...)
	return slices.DeleteFunc(routes, func(r Route) bool { return r == p.Current })
}

// cross pairs addresses of one family, by the sum of their indexes.
func cross(local, remote []netip.AddrPort, turn bool) (routes []Route) {
	for sum := range len(local) + len(remote) {
		for i, l := range local[:min(len(local), sum+1)] {
			if j := sum - i; j < len(remote) && l.Addr().Is4() == remote[j].Addr().Is4() {
				routes = append(routes, Route{Local: l, TURN: turn, Remote: remote[j]})
			}
		}
	}
	return routes
}
