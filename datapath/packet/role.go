package packet

import "encoding/binary"

// Role is what a frame makes its sender in the eyes of those who receive it,
// beyond being a station.
type Role uint8

// Roles.
const (
	Station    Role = iota // nothing special
	Router                 // a router advertisement or a redirect (RFC 4861)
	DHCPServer             // a message of a DHCP or DHCPv6 server
	Hidden                 // a first fragment that does not show which (RFC 7112)
)

const (
	hopByHop           = 0
	routing            = 43
	fragment           = 44
	destinationOptions = 60
	nothing            = 59

	icmpRouterAdvertisement = 134
	icmpRedirect            = 137

	protoUDP = 17

	portDHCPServer   = 67
	portDHCPClient   = 68
	portDHCPv6Server = 547
	portDHCPv6Client = 546
)

// Sender returns the role that an untagged frame claims. It looks behind IPv4
// options and IPv6 extension headers; what later fragments say is known by the first.
func Sender(frame []byte) Role {
	if p, ok := payload(frame, TypeIPv6); ok {
		return sender6(p)
	}
	p, ok := payload(frame, TypeIPv4)
	if !ok || len(p) < 20 || p[9] != protoUDP || binary.BigEndian.Uint16(p[6:])&0x1fff != 0 {
		return Station
	}
	header := 4 * int(p[0]&0x0f)
	if header < 20 || len(p) < header+4 || ports(p[header:]) != [2]uint16{portDHCPServer, portDHCPClient} {
		return Station
	}
	return DHCPServer
}

func sender6(p []byte) Role {
	if len(p) < ipv6Len {
		return Station
	}
	proto, m, fragmented := upper(p)
	switch {
	case proto == protoICMPv6 && len(m) >= 1:
		if m[0] == icmpRouterAdvertisement || m[0] == icmpRedirect {
			return Router
		}
	case proto == protoUDP && len(m) >= 4:
		if ports(m) == [2]uint16{portDHCPv6Server, portDHCPv6Client} {
			return DHCPServer
		}
	case fragmented && (proto == protoICMPv6 || proto == protoUDP || extension(proto)):
		return Hidden // the rest is in another fragment
	}
	return Station
}

// upper returns the protocol behind the extension headers of an IPv6 packet, and what
// there is of it; an extension header if that is not whole. Only the length that the
// packet tells counts, for receivers take no more into a reassembly.
func upper(p []byte) (proto byte, m []byte, fragmented bool) {
	proto, m = p[6], p[ipv6Len:]
	// A length of zero before hop-by-hop options is that of a jumbogram (RFC 2675).
	if n := int(binary.BigEndian.Uint16(p[4:])); n < len(m) && (n > 0 || proto != hopByHop) {
		m = m[:n]
	}
	for extension(proto) {
		size := 8
		switch {
		case len(m) < size:
		case proto != fragment:
			size *= 1 + int(m[1])
		case binary.BigEndian.Uint16(m[2:])>>3 != 0:
			return nothing, nil, false // a later one
		}
		fragmented = fragmented || proto == fragment
		if len(m) < size {
			return proto, m, fragmented
		}
		proto, m = m[0], m[size:]
	}
	return proto, m, fragmented
}

func extension(proto byte) bool {
	return proto == hopByHop || proto == routing || proto == fragment || proto == destinationOptions
}

// ports returns source and destination port of a UDP header.
func ports(b []byte) [2]uint16 {
	return [2]uint16{binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])}
}
