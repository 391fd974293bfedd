package path

import (
	"net/netip"
	"slices"
)

// maxPrivate is how many private addresses of a peer are tried that lie in none of this
// machine's neighbourhoods. They are not left out altogether: a route between private
// networks, or a NAT that both ends are behind, may lead to one. But a peer can name
// addresses that are not its own, and make this engine send to hosts in its operator's
// network. An engine has at most ten host candidates, of both families.
const maxPrivate = 8

// Lengths of the prefix that a neighbourhood has in common.
const (
	near4 = 16
	near6 = 48 // a site's share of unique local addresses (RFC 4193)
)

// LimitPrivate removes private addresses of a peer that lie in no neighbourhood of the own
// addresses, except for the first maxPrivate of them. It returns how many it has removed. It
// reuses the slice.
func LimitPrivate(candidates []Candidate, hosts []netip.AddrPort) (kept []Candidate, removed uint64) {
	far := 0
	kept = slices.DeleteFunc(candidates, func(c Candidate) bool {
		if !isPrivate(c.Addr.Addr()) || isNear(c.Addr.Addr(), hosts) {
			return false
		}
		far++
		return far > maxPrivate
	})
	return kept, uint64(max(0, far-maxPrivate))
}

// shared is the address space that carriers use inside (RFC 6598).
var shared = netip.MustParsePrefix("100.64.0.0/10")

func isPrivate(a netip.Addr) bool { return a.IsPrivate() || shared.Contains(a) }

// isNear reports whether an address shares a neighbourhood with one of the hosts.
func isNear(a netip.Addr, hosts []netip.AddrPort) bool {
	bits := near4
	if a.Is6() {
		bits = near6
	}
	around, err := a.Prefix(bits)
	return err == nil && slices.ContainsFunc(hosts, func(h netip.AddrPort) bool { return around.Contains(h.Addr()) })
}
