package packet

import (
	"encoding/binary"
	"net/netip"
)

const (
	ipv6Len = 40
	// ndLen is the fixed part of a neighbour message: ICMPv6 header, flags or
	// reserved, target.
	ndLen = 24
	// ndHopLimit proves that a message was not routed (RFC 4861 section 7.1).
	ndHopLimit = 255

	protoICMPv6 = 58

	icmpSolicitation  = 135
	icmpAdvertisement = 136

	optionSource = 1
	optionTarget = 2

	flagSolicited = 0x40
	flagOverride  = 0x20
)

// Neighbour is what a neighbour solicitation or advertisement of IPv6 says.
type Neighbour struct {
	Advertisement bool
	Source        netip.Addr
	Destination   netip.Addr
	Target        netip.Addr
	Flags         byte
	// LinkLayer is the source address option of a solicitation or the target
	// address option of an advertisement; HasLinkLayer says that there is one.
	LinkLayer    MAC
	HasLinkLayer bool
}

// ParseNeighbour reads an untagged neighbour solicitation or advertisement and
// makes the checks of RFC 4861 sections 7.1.1 and 7.1.2, checksum included.
// Messages behind extension headers are not taken.
func ParseNeighbour(frame []byte) (Neighbour, bool) {
	p, ok := payload(frame, TypeIPv6)
	if !ok || len(p) < ipv6Len+ndLen || p[0]>>4 != 6 || p[6] != protoICMPv6 || p[7] != ndHopLimit {
		return Neighbour{}, false
	}
	length := int(binary.BigEndian.Uint16(p[4:]))
	if length < ndLen || len(p) < ipv6Len+length {
		return Neighbour{}, false
	}
	m := p[ipv6Len : ipv6Len+length]
	if (m[0] != icmpSolicitation && m[0] != icmpAdvertisement) || m[1] != 0 {
		return Neighbour{}, false
	}
	if checksum(p[8:40], m) != 0 {
		return Neighbour{}, false
	}
	n := Neighbour{
		Advertisement: m[0] == icmpAdvertisement,
		Source:        netip.AddrFrom16([16]byte(p[8:24])),
		Destination:   netip.AddrFrom16([16]byte(p[24:40])),
		Target:        netip.AddrFrom16([16]byte(m[8:24])),
		Flags:         m[4],
	}
	if !n.readOptions(m[ndLen:]) || !n.valid() {
		return Neighbour{}, false
	}
	return n, true
}

// readOptions looks for the link-layer address; an option of length zero or
// beyond the message makes the whole message invalid (RFC 4861 section 4.6).
func (n *Neighbour) readOptions(b []byte) bool {
	want := byte(optionSource)
	if n.Advertisement {
		want = optionTarget
	}
	for len(b) > 0 {
		if len(b) < 8 || b[1] == 0 || len(b) < 8*int(b[1]) {
			return false
		}
		if b[0] == want {
			if b[1] != 1 {
				return false
			}
			n.LinkLayer, n.HasLinkLayer = MAC(b[2:8]), true
		}
		b = b[8*int(b[1]):]
	}
	return true
}

// valid makes the checks that concern several fields.
func (n *Neighbour) valid() bool {
	if n.Target.IsMulticast() || n.Target.IsUnspecified() || n.Source.IsMulticast() {
		return false
	}
	if n.Advertisement {
		return !n.Source.IsUnspecified() && (!n.Destination.IsMulticast() || n.Flags&flagSolicited == 0)
	}
	if n.Source.IsUnspecified() {
		return !n.HasLinkLayer && n.Destination == solicitedNode(n.Target)
	}
	return true
}

// appendAdvertisement appends a whole frame with a neighbour advertisement of
// target at mac.
func appendAdvertisement(dst []byte, toMAC MAC, to, target netip.Addr, mac MAC, flags byte) []byte {
	const length = ndLen + 8
	source, dest := target.As16(), to.As16()
	dst = appendHeader(dst, toMAC, mac, TypeIPv6)
	ip := len(dst)
	dst = append(dst, 0x60, 0, 0, 0, 0, length, protoICMPv6, ndHopLimit)
	dst = append(dst, source[:]...)
	dst = append(dst, dest[:]...)
	icmp := len(dst)
	dst = append(dst, icmpAdvertisement, 0, 0, 0, flags, 0, 0, 0)
	dst = append(dst, source[:]...)
	dst = append(dst, optionTarget, 1)
	dst = append(dst, mac[:]...)
	binary.BigEndian.PutUint16(dst[icmp+2:], checksum(dst[ip+8:icmp], dst[icmp:]))
	return dst
}

// checksum computes the ICMPv6 checksum over the pseudo header, given as source
// and destination address in a row, and the message. Over a message that already
// carries its checksum the result is zero if that is right.
func checksum(addrs, message []byte) uint16 {
	sum := uint32(len(message)) + protoICMPv6
	sum = add(add(sum, addrs), message)
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// add sums 16-bit words; 64 KiB of them do not overflow 32 bits.
func add(sum uint32, b []byte) uint32 {
	for ; len(b) >= 2; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	return sum
}

// solicitedNode returns the multicast address at which the owner of addr listens
// for solicitations (RFC 4291 section 2.7.1).
func solicitedNode(addr netip.Addr) netip.Addr {
	a := addr.As16()
	return netip.AddrFrom16([16]byte{0xff, 0x02, 11: 1, 12: 0xff, 13: a[13], 14: a[14], 15: a[15]})
}

// allNodes is ff02::1 and allNodesMAC the Ethernet group that carries it.
var (
	allNodes    = netip.AddrFrom16([16]byte{0xff, 0x02, 15: 1})
	allNodesMAC = MAC{0x33, 0x33, 0, 0, 0, 1}
)
