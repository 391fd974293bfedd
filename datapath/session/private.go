package session

import (
	"net/netip"
	"slices"
)

// maxPrivate is how many private addresses of a peer are tried that lie in none of this
// machine's neighbourhoods. A site may be reached at such a one, through a route between
// private networks or a NAT that both are behind, so they are not left out; but a peer that
// names others for its own has this engine knock at doors in its operator's network. An
// engine has no more than ten host candidates, of both families.
const maxPrivate = 8

// Lengths of the prefix that a neighbourhood has in common.
const (
	near4 = 16
	near6 = 48 // a site's share of unique local addresses (RFC 4193)
)

// usable returns those candidates of the peer that are tried.
func (s *Session) usable(candidates []Candidate) []Candidate {
	far := 0
	return slices.DeleteFunc(s.transport.usable(candidates), func(c Candidate) bool {
		if !isPrivate(c.Addr.Addr()) || isNear(c.Addr.Addr(), s.hosts) {
			return false
		}
		far++
		if far > maxPrivate {
			s.limited()
			return true
		}
		return false
	})
}

// shared is the address space that carriers use inside (RFC 6598).
var shared = netip.MustParsePrefix("100.64.0.0/10")

func isPrivate(a netip.Addr) bool { return a.IsPrivate() || shared.Contains(a) }

// isNear tells whether an address shares a neighbourhood with one of the hosts.
func isNear(a netip.Addr, hosts []netip.AddrPort) bool {
	bits := near4
	if a.Is6() {
		bits = near6
	}
	around, err := a.Prefix(bits)
	return err == nil && slices.ContainsFunc(hosts, func(h netip.AddrPort) bool { return around.Contains(h.Addr()) })
}
