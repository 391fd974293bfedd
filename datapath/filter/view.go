package filter

import (
	"encoding/binary"
	"net/netip"

	"evio/datapath/packet"
)

// Kind is what a frame is, by its type.
type Kind uint8

// Kinds. A frame with a tag is not looked into.
const (
	Any         Kind = iota // of a match: whatever it is
	Else                    // none of the others
	Tagged                  // with a VLAN tag
	PriorityTag             // with one of VLAN 0, which receivers take off
	CutTag                  // with a tag that is not whole
	ARP
	IPv4
	IPv6

	kinds
)

// Fragment says which part of a packet an IP packet is.
type Fragment uint8

// Fragments. A whole packet in a fragment header (RFC 6946) is no fragment.
const (
	Whole Fragment = iota + 1
	First
	Later
)

// Protocols and messages that rules speak of.
const (
	ICMP   = 1
	UDP    = 17
	ICMPv6 = 58
	NoNext = 59 // nothing follows

	ARPRequest = 1
	ARPReply   = 2

	NeighbourSolicitation  = 135
	NeighbourAdvertisement = 136
)

const (
	leastType = 0x0600 // below it is the length of an LLC frame

	tagLen    = 4
	typeLen   = 2
	snapLen   = 8
	arpLen    = 28
	ipv4Len   = 20
	ipv6Len   = 40
	udpLen    = 8
	icmpLen   = 8
	targetLen = 16
	optionLen = 8 // with an Ethernet address; no option is shorter

	hopByHop           = 0
	routing            = 43
	fragment           = 44
	authentication     = 51
	destinationOptions = 60

	optionSource = 1
	optionTarget = 2
)

// View is what a frame shows. What is malformed or missing is zero, as in Open vSwitch
// (miniflow_extract in its lib/flow.c). Its kernel datapath takes IPv6 headers that are not
// whole for "nothing follows"; what it lets pass of that, receivers drop.
type View struct {
	Kind                Kind
	Protocol            uint8 // of ARP the operation; zero: malformed, or hidden behind headers that are not whole
	Fragment            Fragment
	Hops                uint8
	FromPort, ToPort    uint16 // of UDP; of ICMP type and code
	Source, Destination packet.MAC
	Link                packet.MAC // of ARP the sender's; of neighbour messages their option's, zero: there is none
	From, To            netip.Addr
	Target              netip.Addr // of a neighbour message, unspecified: malformed, or with an option twice
}

var (
	none4 = netip.IPv4Unspecified()
	none6 = netip.IPv6Unspecified()
)

// Parse looks at a frame. It returns false for one without a whole Ethernet header.
func Parse(frame []byte) (View, bool) {
	if !packet.Valid(frame) {
		return View{}, false
	}
	v := View{Source: packet.Source(frame), Destination: packet.Destination(frame), Fragment: Whole}
	typ, body := packet.EtherType(frame), frame[packet.HeaderLen:]
	if isTag(typ) && len(body) >= tagLen-typeLen+typeLen {
		v.Kind = Tagged
		if binary.BigEndian.Uint16(body)&0x0fff == 0 {
			v.Kind = PriorityTag
		}
		return v, true
	}
	if typ < leastType {
		typ, body = snap(body)
	}
	switch typ {
	case packet.TypeVLAN, packet.TypeServiceVLAN:
		v.Kind = CutTag
	case packet.TypeARP:
		v.arp(body)
	case packet.TypeIPv4:
		v.ipv4(body)
	case packet.TypeIPv6:
		v.ipv6(body)
	default:
		v.Kind = Else
	}
	return v, true
}

func isTag(typ uint16) bool { return typ == packet.TypeVLAN || typ == packet.TypeServiceVLAN }

// snap returns the type in a SNAP header (RFC 1042), zero if there is none.
func snap(b []byte) (uint16, []byte) {
	if len(b) < snapLen || [6]byte(b) != [6]byte{0xaa, 0xaa, 3, 0, 0, 0} {
		return 0, nil
	}
	typ := binary.BigEndian.Uint16(b[6:])
	if typ < leastType {
		return 0, nil
	}
	return typ, b[snapLen:]
}

func (v *View) arp(b []byte) {
	v.Kind, v.From, v.To = ARP, none4, none4
	if len(b) < arpLen || [6]byte(b) != [6]byte{0, 1, 8, 0, 6, 4} {
		return
	}
	if b[6] == 0 {
		v.Protocol = b[7]
	}
	v.Link = packet.MAC(b[8:])
	v.From, v.To = netip.AddrFrom4([4]byte(b[14:])), netip.AddrFrom4([4]byte(b[24:]))
}

func (v *View) ipv4(b []byte) {
	v.Kind, v.From, v.To = IPv4, none4, none4
	if len(b) < ipv4Len {
		return
	}
	header, total := 4*int(b[0]&0x0f), int(binary.BigEndian.Uint16(b[2:]))
	if header < ipv4Len || header > total || total > len(b) {
		return
	}
	v.Protocol, v.Hops = b[9], b[8]
	v.From, v.To = netip.AddrFrom4([4]byte(b[12:])), netip.AddrFrom4([4]byte(b[16:]))
	const more, offset = 0x2000, 0x1fff
	switch f := binary.BigEndian.Uint16(b[6:]); {
	case f&offset != 0:
		v.Fragment = Later
		return
	case f&more != 0:
		v.Fragment = First
	}
	v.ports(b[header:total])
}

func (v *View) ipv6(b []byte) {
	v.Kind, v.From, v.To, v.Target = IPv6, none6, none6, none6
	if len(b) < ipv6Len {
		return
	}
	total := ipv6Len + int(binary.BigEndian.Uint16(b[4:]))
	if total > len(b) {
		return
	}
	v.From, v.To = netip.AddrFrom16([16]byte(b[8:])), netip.AddrFrom16([16]byte(b[24:]))
	proto, m, part, ok := upper(b[6], b[ipv6Len:total])
	if !ok {
		return
	}
	v.Protocol, v.Hops, v.Fragment = proto, b[7], part
	if part == Later {
		return
	}
	v.ports(m)
	if proto == ICMPv6 && len(m) >= icmpLen && m[1] == 0 && (m[0] == NeighbourSolicitation || m[0] == NeighbourAdvertisement) {
		v.neighbour(m[0], m[icmpLen:])
	}
}

// upper returns the protocol behind the extension headers, and what there is of it; false
// if they are not whole.
func upper(proto byte, m []byte) (byte, []byte, Fragment, bool) {
	part := Whole
	for {
		size := 8
		switch proto {
		case hopByHop, routing, destinationOptions, authentication, fragment:
			if len(m) < size {
				return 0, nil, part, false
			}
		default:
			return proto, m, part, true
		}
		switch proto {
		case authentication:
			size = 4 * (int(m[1]) + 2)
		case fragment:
		default:
			size = 8 * (int(m[1]) + 1)
		}
		if len(m) < size {
			return 0, nil, part, false
		}
		is := proto == fragment
		proto = m[0]
		if is {
			switch f := binary.BigEndian.Uint16(m[2:]); {
			case f>>3 != 0:
				return fragment, nil, Later, true
			case f != 0:
				part = First
			}
		}
		m = m[size:]
	}
}

// ports reads what rules ask of the headers behind those of IP.
func (v *View) ports(m []byte) {
	switch {
	case v.Protocol == UDP && len(m) >= udpLen:
		v.FromPort, v.ToPort = binary.BigEndian.Uint16(m), binary.BigEndian.Uint16(m[2:])
	case v.Protocol == ICMP && len(m) >= icmpLen, v.Protocol == ICMPv6 && len(m) >= icmpLen:
		v.FromPort, v.ToPort = uint16(m[0]), uint16(m[1])
	}
}

// neighbour reads target and option of a neighbour message. An option that is there twice
// makes the message void, for receivers do not agree on which one counts.
func (v *View) neighbour(kind byte, b []byte) {
	if len(b) < targetLen {
		return
	}
	target := netip.AddrFrom16([16]byte(b))
	var link [optionTarget + 1]packet.MAC
	for b = b[targetLen:]; len(b) >= optionLen; {
		typ, size := b[0], optionLen*int(b[1])
		if size == 0 || size > len(b) {
			break
		}
		if size == optionLen && (typ == optionSource || typ == optionTarget) {
			if link[typ] != (packet.MAC{}) {
				return
			}
			link[typ] = packet.MAC(b[2:])
		}
		b = b[size:]
	}
	v.Target = target
	if kind == NeighbourSolicitation {
		v.Link = link[optionSource]
	} else {
		v.Link = link[optionTarget]
	}
}
