package resolver

import (
	"cmp"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
)

// rank says how early an address is tried, the lowest first: the rules of RFC 6724 that
// decide between a server's addresses. No packet is sent.
func rank(a netip.Addr) int {
	const port = 9 // any
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(a, port)))
	if err != nil {
		return 3 // there is no way to it, or no source address
	}
	defer c.Close() //nolint:errcheck // nothing was sent
	source, ok := netip.AddrFromSlice(c.LocalAddr().(*net.UDPAddr).IP)
	switch {
	case a.Is4():
		return 1
	case ok && a.IsPrivate() != source.IsPrivate():
		return 2 // a unique local address does not reach the internet
	default:
		return 0
	}
}

func randomBelow(n int) int { return rand.IntN(n) } //nolint:gosec // spreads load, guards nothing

// order sorts services by priority, the lowest first. Those of one priority are drawn
// one after another, the heavier the likelier (RFC 2782). below returns a number from 0
// to n-1.
func order(services []*net.SRV, below func(n int) int) {
	// Of one priority those without weight come first, as the algorithm wants it.
	slices.SortStableFunc(services, func(a, b *net.SRV) int {
		return cmp.Or(cmp.Compare(a.Priority, b.Priority), cmp.Compare(min(a.Weight, 1), min(b.Weight, 1)))
	})
	for first := 0; first < len(services); {
		end := first + 1
		for end < len(services) && services[end].Priority == services[first].Priority {
			end++
		}
		draw(services[first:end], below)
		first = end
	}
}

// draw orders services of one priority.
func draw(services []*net.SRV, below func(n int) int) {
	sum := 0
	for _, s := range services {
		sum += int(s.Weight)
	}
	for i := range services {
		drawn, chosen := below(sum+1), i
		for running := 0; chosen < len(services); chosen++ {
			if running += int(services[chosen].Weight); running >= drawn {
				break
			}
		}
		s := services[chosen]
		copy(services[i+1:chosen+1], services[i:chosen])
		services[i] = s
		sum -= int(s.Weight)
	}
}
