package network

import (
	"encoding/binary"
	"net/netip"
	"sync/atomic"

	"evio/datapath/packet"
	"evio/overlay"
	"evio/overlay/nodeid"
)

// A peer's engine is not trusted to hold its containers to their own addresses. What
// a frame of a node says must be right by the directory, whichever way it came:
//
//   - its source MAC is that node's;
//   - who it says is behind an address, by ARP or neighbour discovery: address and MAC
//     are both that node's. An IPv6 link-local address, which nobody claims, is bound
//     to a MAC (linklocal.go); an IPv4 one is refused like any that nobody holds;
//   - what it asks for by a probe, before it has an address, no other node holds: who
//     starts with that address would give it up;
//   - who it says an IP packet is from is not another node. It may be nobody, for
//     containers may route; answers to it go to who routes them here;
//   - it is not of a router or a DHCP server: containers are configured by their own
//     engine;
//   - nothing of that is hidden: ARP, neighbour messages and router solicitations that
//     do not parse are refused, so are IPv6 extension headers before what may be a
//     neighbour message, and VLAN tags that receivers take off without a look.
//
// What nobody holds is not that node's either.

// fault is what is wrong with a frame of a peer.
type fault struct {
	cause *atomic.Uint64 // nil: nothing
	final bool           // no record of the directory can mend it
	taken bool           // another node holds what the frame claims
}

// frameFault looks for what is wrong with a frame of a node.
func (n *network) frameFault(t *overlay.Table, origin nodeid.ID, frame []byte) fault {
	if len(frame) < packet.HeaderLen {
		return fault{cause: &n.drops.malformed, final: true}
	}
	if e, known := t.LookupMAC(packet.Source(frame)); !known || e.Node != origin {
		return fault{cause: &n.drops.notOwner, taken: known}
	}
	return n.contentFault(t, origin, frame)
}

// EtherTypes and fields that contentFault looks at, and nothing else does.
const (
	typeServiceVLAN = 0x88a8

	offIPv4Source      = packet.HeaderLen + 12
	offIPv4Destination = packet.HeaderLen + 16

	offIPv6Next        = packet.HeaderLen + 6
	offIPv6Hops        = packet.HeaderLen + 7
	offIPv6Source      = packet.HeaderLen + 8
	offIPv6Destination = packet.HeaderLen + 24
	offIPv6Body        = packet.HeaderLen + 40

	hopByHop           = 0
	routing            = 43
	icmpv6             = 58
	destinationOptions = 60

	neighbourHops = 255 // proves that a message was not routed (RFC 4861 section 7.1)

	routerSolicitation     = 133
	neighbourSolicitation  = 135
	neighbourAdvertisement = 136
)

// contentFault looks for what is wrong behind the addresses of a whole frame. It runs
// for each frame of a peer.
func (n *network) contentFault(t *overlay.Table, origin nodeid.ID, frame []byte) fault {
	switch packet.EtherType(frame) {
	case packet.TypeIPv4:
		if f := n.roleFault(frame); f.cause != nil || len(frame) < offIPv4Destination {
			return f
		}
		return n.sourceFault(t, origin, netip.AddrFrom4([4]byte(frame[offIPv4Source:offIPv4Destination])), packet.Source(frame))
	case packet.TypeIPv6:
		return n.contentFault6(t, origin, frame)
	case packet.TypeARP:
		if _, ok := packet.ParseARP(frame); !ok {
			return fault{cause: &n.drops.malformed, final: true}
		}
		return n.claimFault(t, origin, frame)
	case packet.TypeVLAN, typeServiceVLAN:
		if len(frame) < packet.HeaderLen+2 || binary.BigEndian.Uint16(frame[packet.HeaderLen:])&0x0fff == 0 {
			return fault{cause: &n.drops.malformed, final: true}
		}
	}
	return fault{}
}

func (n *network) contentFault6(t *overlay.Table, origin nodeid.ID, frame []byte) fault {
	if len(frame) < offIPv6Destination {
		return fault{}
	}
	source := netip.AddrFrom16([16]byte(frame[offIPv6Source:offIPv6Destination]))
	if len(frame) < offIPv6Body+4 {
		return n.sourceFault(t, origin, source, packet.Source(frame))
	}
	switch frame[offIPv6Next] {
	case hopByHop, routing, destinationOptions:
		if frame[offIPv6Hops] == neighbourHops {
			return fault{cause: &n.drops.malformed, final: true}
		}
	case icmpv6:
		switch frame[offIPv6Body] {
		case routerSolicitation:
			return n.bindingFault(t, origin, source, packet.Source(frame))
		case neighbourSolicitation, neighbourAdvertisement:
			if _, ok := packet.ParseNeighbour(frame); !ok {
				return fault{cause: &n.drops.malformed, final: true}
			}
			if f := n.claimFault(t, origin, frame); f.cause != nil {
				return f
			}
		}
	}
	if f := n.roleFault(frame); f.cause != nil {
		return f
	}
	return n.sourceFault(t, origin, source, packet.Source(frame))
}

// sourceFault looks at where an IP packet says that it is from, or at what a probe
// asks for. It may be what nobody holds.
func (n *network) sourceFault(t *overlay.Table, origin nodeid.ID, addr netip.Addr, mac overlay.MAC) fault {
	if e, known := t.Lookup(addr); known && e.Node != origin || !known && isLinkLocal6(addr) && !n.linkLocals.belongs(t, addr, mac) {
		return fault{cause: &n.drops.notHolder, taken: true}
	}
	return fault{}
}

func (n *network) roleFault(frame []byte) fault {
	switch packet.Sender(frame) {
	case packet.Router, packet.DHCPServer:
		return fault{cause: &n.drops.role, final: true}
	case packet.Hidden:
		return fault{cause: &n.drops.malformed, final: true}
	case packet.Station:
	}
	return fault{}
}

func (n *network) claimFault(t *overlay.Table, origin nodeid.ID, frame []byte) fault {
	if c, ok := packet.Claims(frame); ok {
		return n.bindingFault(t, origin, c.Addr, c.MAC)
	}
	if c, ok := packet.Probe(frame); ok {
		return n.sourceFault(t, origin, c.Addr, c.MAC)
	}
	return fault{}
}

func (n *network) bindingFault(t *overlay.Table, origin nodeid.ID, addr netip.Addr, mac overlay.MAC) fault {
	if addr.IsUnspecified() {
		return fault{}
	}
	if e, known := t.LookupMAC(mac); !known || e.Node != origin {
		return fault{cause: &n.drops.notHolder, taken: known}
	}
	e, known := t.Lookup(addr)
	switch {
	case !known && isLinkLocal6(addr):
		known = !n.linkLocals.belongs(t, addr, mac)
		if !known {
			return fault{}
		}
	case known && e.Node == origin:
		return fault{}
	}
	return fault{cause: &n.drops.notHolder, taken: known}
}
