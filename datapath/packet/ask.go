package packet

import (
	"encoding/binary"
	"net/netip"
)

// Ask appends a question for an address to the one station that is thought to have it,
// from a MAC address that the answer goes to. It leaves no trace at a station that does
// not: an ARP probe (RFC 5227), or a neighbour solicitation from the link-local address
// made of the MAC address (RFC 4861 section 7.2.2), in unicast.
func Ask(dst []byte, addr netip.Addr, to, from MAC) []byte {
	if addr.Is4() {
		return appendARP(dst, to, ARP{SenderMAC: from, Sender: netip.IPv4Unspecified(), Target: addr})
	}
	const length = ndLen + 8
	source, target := linkLocalOf(from).As16(), addr.As16()
	dst = appendHeader(dst, to, from, TypeIPv6)
	ip := len(dst)
	dst = append(dst, 0x60, 0, 0, 0, 0, length, protoICMPv6, ndHopLimit)
	dst = append(dst, source[:]...)
	dst = append(dst, target[:]...)
	icmp := len(dst)
	dst = append(dst, icmpSolicitation, 0, 0, 0, 0, 0, 0, 0)
	dst = append(dst, target[:]...)
	dst = append(dst, optionSource, 1)
	dst = append(dst, from[:]...)
	binary.BigEndian.PutUint16(dst[icmp+2:], checksum(dst[ip+8:icmp], dst[icmp:]))
	return dst
}

// linkLocalOf returns the link-local address that is made of a MAC address (RFC 4291
// appendix A).
func linkLocalOf(mac MAC) netip.Addr {
	return netip.AddrFrom16([16]byte{0xfe, 0x80, 8: mac[0] ^ 0x02, 9: mac[1], 10: mac[2], 11: 0xff, 12: 0xfe, 13: mac[3], 14: mac[4], 15: mac[5]})
}
