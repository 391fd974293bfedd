package frame

import (
	"encoding/binary"

	"evio/datapath/packet"
)

const (
	ipv4Len = 20
	ipv6Len = 40
	tcpLen  = 20
	udpLen  = 8

	tagLen  = 4
	maxTags = 2

	// maxExtensions keeps what lies in front of TCP or UDP so short that Frame.Start can say
	// how long it is: each header has up to 2,048 bytes.
	maxExtensions = 4

	protoHopByHop    = 0
	protoTCP         = 6
	protoUDP         = 17
	protoRouting     = 43
	protoDestination = 60

	// fragmented are the bits of the IPv4 header that a fragment has: more fragments, and
	// an offset.
	fragmented = 0x3fff

	// tcpOffset and udpOffset are where the checksums of TCP and UDP lie in their headers.
	tcpOffset = 16
	udpOffset = 6
)

// Layout says where the headers of a frame lie.
type Layout struct {
	L3, L4, Payload int // offsets in Data
	V6, UDP         bool
}

// Parse finds the headers of a frame with a whole TCP segment or UDP datagram over IPv4 or IPv6.
// It returns false for whatever else there is, such as fragments, and for lengths that disagree.
//
// The kernel also makes super-frames with VLAN tags, if a container has VLANs on its interface,
// and with those extension headers of IPv6 that each segment repeats (ipv6_gso_pull_exthdrs). So
// up to two tags and four such headers do not stand in the way.
//
// A frame that goes on behind its IP packet, as Ethernet pads short frames, is among these.
// The kernel finishes a checksum over all that a frame has (skb_checksum_help), padding
// included, and whoever finds the checksum by parsing would finish it over the packet.
func Parse(data []byte) (Layout, bool) {
	if !packet.Valid(data) {
		return Layout{}, false
	}
	l := Layout{L3: packet.HeaderLen}
	kind := packet.EtherType(data)
	for range maxTags {
		if kind != packet.TypeVLAN && kind != packet.TypeServiceVLAN || len(data) < l.L3+tagLen {
			break
		}
		kind = binary.BigEndian.Uint16(data[l.L3+2:])
		l.L3 += tagLen
	}
	var proto byte
	ip := data[l.L3:]
	switch kind {
	case packet.TypeIPv4:
		if len(ip) < ipv4Len || ip[0]>>4 != 4 || int(binary.BigEndian.Uint16(ip[2:])) != len(ip) ||
			binary.BigEndian.Uint16(ip[6:])&fragmented != 0 {
			return Layout{}, false
		}
		n := int(ip[0]&0xf) * 4
		if n < ipv4Len || n > len(ip) {
			return Layout{}, false
		}
		proto, l.L4 = ip[9], l.L3+n
	case packet.TypeIPv6:
		if len(ip) < ipv6Len || ip[0]>>4 != 6 || int(binary.BigEndian.Uint16(ip[4:])) != len(ip)-ipv6Len {
			return Layout{}, false
		}
		n := 0
		proto, n = upperLayer(ip)
		l.L4, l.V6 = l.L3+n, true
	default:
		return Layout{}, false
	}
	l4 := data[l.L4:]
	switch proto {
	case protoTCP:
		if len(l4) < tcpLen {
			return Layout{}, false
		}
		n := int(l4[tcpLength]>>4) * 4
		if n < tcpLen || n > len(l4) {
			return Layout{}, false
		}
		l.Payload = l.L4 + n
	case protoUDP:
		if len(l4) < udpLen || int(binary.BigEndian.Uint16(l4[4:])) != len(l4) {
			return Layout{}, false
		}
		l.Payload, l.UDP = l.L4+udpLen, true
	default:
		return Layout{}, false
	}
	return l, true
}

// upperLayer returns the protocol that follows the IPv6 header and its extensions, and where it
// begins. A header that is not whole is one that is not known.
func upperLayer(ip []byte) (proto byte, at int) {
	proto, at = ip[6], ipv6Len
	for range maxExtensions {
		if proto != protoHopByHop && proto != protoRouting && proto != protoDestination || len(ip) < at+8 {
			break
		}
		n := 8 + 8*int(ip[at+1])
		if len(ip) < at+n {
			break
		}
		proto, at = ip[at], at+n
	}
	return proto, at
}

// offset returns where the checksum lies in the header of TCP or UDP.
func (l Layout) offset() int {
	if l.UDP {
		return udpOffset
	}
	return tcpOffset
}

// kind returns the kind of a super-frame that is laid out so.
func (l Layout) kind() Kind {
	switch {
	case l.UDP:
		return UDP
	case l.V6:
		return TCP6
	default:
		return TCP4
	}
}

// Own reports whether the unfinished checksum of a frame, which Parse has laid out as l, is
// that of the frame's own TCP or UDP header. Only such a checksum is found again by Unfinished.
func Own(f *Frame, l Layout) bool {
	return f.Partial && int(f.Start) == l.L4 && int(f.Offset) == l.offset()
}

// Unfinished returns data as a frame whose own TCP or UDP checksum is unfinished, and false
// if it has none.
func Unfinished(data []byte) (Frame, bool) {
	l, ok := Parse(data)
	if !ok {
		return Frame{}, false
	}
	return Frame{Data: data, Partial: true, Start: uint16(l.L4), Offset: uint16(l.offset())}, true
}

// DHCP reports whether a frame, which Parse has laid out as l, is one of DHCP or DHCPv6
// (RFC 2131, RFC 8415). Clients and servers read these from packet sockets, and some drop
// those whose checksum is unfinished.
func DHCP(data []byte, l Layout) bool {
	return l.UDP && (isDHCP(data[l.L4:]) || isDHCP(data[l.L4+2:]))
}

// isDHCP reports whether b begins with a port of DHCP or DHCPv6.
func isDHCP(b []byte) bool {
	switch binary.BigEndian.Uint16(b) {
	case 67, 68, 546, 547:
		return true
	}
	return false
}
