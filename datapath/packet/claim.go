package packet

import (
	"encoding/binary"
	"net/netip"
)

// Claim is an address binding that a frame tells its receivers: they will send
// what is for Addr to MAC. Who lets a frame through must know that its origin owns
// both.
type Claim struct {
	Addr netip.Addr
	MAC  MAC
}

// Claims returns the binding that an ARP message or a neighbour message carries;
// none for probes, other frames and malformed ones. An advertisement without a
// link-layer option, and a solicitation without one, bind to the Ethernet source.
func Claims(frame []byte) (Claim, bool) {
	if a, ok := ParseARP(frame); ok {
		if a.Sender.IsUnspecified() {
			return Claim{}, false
		}
		return Claim{Addr: a.Sender, MAC: a.SenderMAC}, true
	}
	n, ok := ParseNeighbour(frame)
	if !ok {
		return Claim{}, false
	}
	c := Claim{Addr: n.Source, MAC: Source(frame)}
	if n.Advertisement {
		c.Addr = n.Target
	}
	if n.HasLinkLayer {
		c.MAC = n.LinkLayer
	}
	return c, !c.Addr.IsUnspecified()
}

// Role is what a frame makes its sender in the eyes of those who receive it,
// beyond being a station.
type Role uint8

// Roles.
const (
	Station    Role = iota // nothing special
	Router                 // a router advertisement or a redirect (RFC 4861)
	DHCPServer             // a message of a DHCP or DHCPv6 server
)

const (
	icmpRouterAdvertisement = 134
	icmpRedirect            = 137

	protoUDP = 17

	portDHCPServer   = 67
	portDHCPClient   = 68
	portDHCPv6Server = 547
	portDHCPv6Client = 546
)

// Sender returns the role that an untagged frame claims. It looks behind IPv4
// options, not behind IPv6 extension headers: receivers must not take router
// advertisements from behind fragment headers (RFC 6980).
func Sender(frame []byte) Role {
	if p, ok := payload(frame, TypeIPv6); ok {
		if len(p) < ipv6Len+4 {
			return Station
		}
		m := p[ipv6Len:]
		switch {
		case p[6] == protoICMPv6 && (m[0] == icmpRouterAdvertisement || m[0] == icmpRedirect):
			return Router
		case p[6] == protoUDP && ports(m) == [2]uint16{portDHCPv6Server, portDHCPv6Client}:
			return DHCPServer
		}
		return Station
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

// ports returns source and destination port of a UDP header.
func ports(b []byte) [2]uint16 {
	return [2]uint16{binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])}
}
