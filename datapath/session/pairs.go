package session

import (
	"net/netip"
	"slices"

	"github.com/pion/webrtc/v4"
)

// own tells whether the own end of a route is there.
func (p *paths) own(r route) bool {
	if r.relayed {
		return r.local == p.relay
	}
	return slices.Contains(p.hosts, r.local)
}

// tells tells whether an address is known to be the peer's.
func (p *paths) tells(remote netip.AddrPort) bool {
	return remote == p.current.remote || slices.Contains(p.seen, remote) || p.typeOf(remote) != webrtc.ICECandidateTypePrflx
}

// typeOf returns what the peer calls an address: peer-reflexive if it has not told it.
func (p *paths) typeOf(remote netip.AddrPort) webrtc.ICECandidateType {
	for _, c := range p.known {
		if c.Addr == remote {
			return c.Type
		}
	}
	return webrtc.ICECandidateTypePrflx
}

// relayed tells whether a relay of either end carries a route.
func (p *paths) relayed(r route) bool {
	return r.relayed || p.typeOf(r.remote) == webrtc.ICECandidateTypeRelay
}

func (p *paths) better(a, b route) bool { return !p.relayed(a) && p.relayed(b) }

// pairs returns the routes other than the current, direct ones first, those of the
// first addresses of both ends before others.
func (p *paths) pairs() []route {
	var direct, indirect []netip.AddrPort // addresses of the peer
	for _, c := range p.known {
		if c.Type == webrtc.ICECandidateTypeRelay {
			indirect = append(indirect, c.Addr)
		} else {
			direct = append(direct, c.Addr)
		}
	}
	direct = append(direct, p.seen...)
	if r := p.current.remote; p.typeOf(r) == webrtc.ICECandidateTypePrflx && !slices.Contains(direct, r) {
		direct = append(direct, r)
	}
	var relay []netip.AddrPort
	if p.relay.IsValid() {
		relay = []netip.AddrPort{p.relay}
	}
	routes := cross(p.hosts, direct, false)
	relayed := slices.Concat(cross(p.hosts, indirect, false), cross(relay, indirect, true), cross(relay, direct, true))
	// Relays are few and the last resort: they always find room.
	routes = routes[:min(len(routes), maxPairs-min(len(relayed), maxPairs/2))]
	routes = append(routes, relayed[:min(len(relayed), maxPairs-len(routes))]...)
	return slices.DeleteFunc(routes, func(r route) bool { return r == p.current })
}

// cross pairs addresses of one family, by the sum of their places.
func cross(local, remote []netip.AddrPort, relayed bool) (routes []route) {
	for sum := range len(local) + len(remote) {
		for i, l := range local[:min(len(local), sum+1)] {
			if j := sum - i; j < len(remote) && l.Addr().Is4() == remote[j].Addr().Is4() {
				routes = append(routes, route{local: l, relayed: relayed, remote: remote[j]})
			}
		}
	}
	return routes
}
