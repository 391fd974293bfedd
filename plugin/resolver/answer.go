package resolver

import (
	"net"
	"net/netip"
	"slices"

	"github.com/miekg/dns"
)

// maxAliases bounds the CNAME records that are followed.
const maxAliases = 16

// canonical follows the aliases of an answer from a name to the one with the records.
func canonical(answer *dns.Msg, name string) string {
	for range maxAliases {
		target := ""
		for _, record := range answer.Answer {
			if alias, ok := record.(*dns.CNAME); ok && sameName(alias.Hdr.Name, name) {
				target = alias.Target
			}
		}
		if target == "" {
			break
		}
		name = target
	}
	return name
}

// addressesOf returns the addresses that an answer has for a name.
func addressesOf(answer *dns.Msg, name string) []netip.Addr {
	name = canonical(answer, name)
	var found []netip.Addr
	for _, record := range answer.Answer {
		if !sameName(record.Header().Name, name) {
			continue
		}
		var ip net.IP
		switch record := record.(type) {
		case *dns.A:
			ip = record.A
		case *dns.AAAA:
			ip = record.AAAA
		}
		if a, ok := netip.AddrFromSlice(ip); ok && !slices.Contains(found, a.Unmap()) {
			found = append(found, a.Unmap())
		}
	}
	return found
}

// servicesOf returns the SRV records that an answer has for a name, and the name that
// they are at. A record without a target, which the library lets pass, is none.
func servicesOf(answer *dns.Msg, name string) (string, []*net.SRV) {
	name = canonical(answer, name)
	var found []*net.SRV
	for _, record := range answer.Answer {
		if s, ok := record.(*dns.SRV); ok && s.Target != "" && sameName(s.Hdr.Name, name) {
			found = append(found, &net.SRV{Target: s.Target, Port: s.Port, Priority: s.Priority, Weight: s.Weight})
		}
	}
	return name, found
}
