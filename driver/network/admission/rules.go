package admission

import (
	"net/netip"
	"slices"

	"evio/datapath/filter"
	"evio/datapath/packet"
)

// Ports of DHCP (RFC 2131) and DHCPv6 (RFC 8415). Clients look at the one that a message
// is for, so whoever sends to the clients' port is a server.
const (
	dhcpServer   = 67
	dhcpClient   = 68
	dhcp6Client  = 546
	redirect4    = 5
	advertiser4  = 9
	advertiser6  = 134
	redirect6    = 137
	firstRouting = 133 // neighbour discovery's messages are 133 to 137
	lastRouting  = 137
)

var (
	none4 = prefix("0.0.0.0/32")
	none6 = prefix("::/128")

	linkLocal4 = prefix("169.254.0.0/16")
	linkLocal6 = prefix("fe80::/10")

	// never are addresses that are nobody's source.
	never4 = prefixes("0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/3")
	never6 = prefixes("::/127", "ff00::/8")
	// groups are for all stations; a packet to one may have the MAC address of one station.
	groups4 = prefixes("224.0.0.0/4", "255.255.255.255/32")
	groups6 = prefixes("ff00::/8")

	everything = prefixes("0.0.0.0/0", "::/0")

	// constrained groups end at the first bridge (IEEE 802.1Q table 8-1).
	constrained = filter.Stations{In: []filter.Range{{MAC: packet.MAC{0x01, 0x80, 0xc2}, Mask: packet.MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xf0}}}}
	noStation   = filter.Stations{In: []filter.Range{{Mask: packet.Broadcast}}}
	notUnicast  = filter.Stations{In: []filter.Range{{Mask: packet.Broadcast}, {MAC: packet.MAC{1}, Mask: packet.MAC{1}}}}
	// virtual routers' addresses (RFC 9568 section 7.3).
	vrrp = filter.Stations{In: []filter.Range{
		{MAC: packet.MAC{0, 0, 0x5e, 0, 1, 0}, Mask: packet.MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0}},
		{MAC: packet.MAC{0, 0, 0x5e, 0, 2, 0}, Mask: packet.MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0}},
	}}

	ownStation = filter.Stations{Of: filter.Self}
	own        = filter.Addresses{Of: filter.Self}
	others     = filter.Addresses{Of: filter.Other}
)

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

func prefixes(all ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range all {
		out = append(out, prefix(s))
	}
	return out
}

func in(p ...netip.Prefix) filter.Addresses { return filter.Addresses{In: p} }

// Guard returns the rules of a network in a mode. Subnets are those in which containers may
// take addresses; without any, as with null IPAM, they may take all that a station can have.
func (m Mode) Guard(subnets []netip.Prefix) *filter.Guard {
	w := writer{mode: m, subnets: slices.Clone(subnets)}
	if len(subnets) == 0 {
		w.subnets = everything
	}
	return filter.New([]filter.Stage{w.station(), w.form(), w.binding(), w.source(), w.target()}, w.delivery())
}

// writer has what the rules depend on.
type writer struct {
	mode    Mode
	subnets []netip.Prefix
}

func then(v filter.Verdict, c filter.Cause, m filter.Match) filter.Rule {
	return filter.Rule{Match: m, Then: v, Cause: c}
}

func nextIf(m filter.Match) filter.Rule                   { return then(filter.Next, filter.None, m) }
func passIf(m filter.Match) filter.Rule                   { return then(filter.Pass, filter.None, m) }
func refuse(c filter.Cause, m filter.Match) filter.Rule   { return then(filter.Refuse, c, m) }
func askAbout(c filter.Cause, m filter.Match) filter.Rule { return then(filter.Ask, c, m) }

// station: the source MAC address.
func (w writer) station() filter.Stage {
	s := filter.Stage{nextIf(filter.Match{Source: ownStation})}
	switch w.mode {
	case Claim:
		s = append(s, askAbout(filter.Station, filter.Match{Source: vrrp}))
	case Open:
		s = append(s, refuse(filter.Station, filter.Match{Source: notUnicast}), askAbout(filter.Station, filter.Match{}))
		return s
	case Strict:
	}
	return append(s, refuse(filter.Station, filter.Match{}))
}

// form: what nobody sends, and what hides that.
func (w writer) form() filter.Stage {
	s := filter.Stage{
		refuse(filter.Malformed, filter.Match{Destination: constrained}),
		refuse(filter.Malformed, filter.Match{Kind: filter.PriorityTag}),
		passIf(filter.Match{Kind: filter.Tagged}), // by its MAC address alone
		refuse(filter.Malformed, filter.Match{Kind: filter.CutTag}),
		nextIf(filter.Match{Kind: filter.ARP, Protocol: filter.ARPRequest}),
		nextIf(filter.Match{Kind: filter.ARP, Protocol: filter.ARPReply}),
		refuse(filter.Malformed, filter.Match{Kind: filter.ARP}),
		refuse(filter.Malformed, filter.Match{Kind: filter.IPv6, Protocol: filter.Unseen}),
		// First fragments that do not show what they are of (RFC 7112).
		refuse(filter.Malformed, filter.Match{Kind: filter.IPv4, Protocol: filter.UDP, Fragment: filter.First, ToPort: filter.Unseen}),
		refuse(filter.Malformed, filter.Match{Kind: filter.IPv6, Protocol: filter.UDP, Fragment: filter.First, ToPort: filter.Unseen}),
		refuse(filter.Malformed, filter.Match{Kind: filter.IPv6, Protocol: filter.ICMPv6, Fragment: filter.First, FromPort: filter.Unseen}),
		refuse(filter.Malformed, filter.Match{Kind: filter.IPv6, Protocol: filter.NoNext, Fragment: filter.First}),

		refuse(filter.Role, filter.Match{Kind: filter.IPv4, Protocol: filter.ICMP, FromPort: redirect4}),
		refuse(filter.Role, filter.Match{Kind: filter.IPv4, Protocol: filter.ICMP, FromPort: advertiser4}),
		refuse(filter.Role, filter.Match{Kind: filter.IPv6, Protocol: filter.ICMPv6, FromPort: advertiser6}),
		refuse(filter.Role, filter.Match{Kind: filter.IPv6, Protocol: filter.ICMPv6, FromPort: redirect6}),
	}
	if w.mode != Open {
		s = append(s,
			refuse(filter.Role, filter.Match{Kind: filter.IPv4, Protocol: filter.UDP, ToPort: dhcpClient}),
			refuse(filter.Role, filter.Match{Kind: filter.IPv6, Protocol: filter.UDP, ToPort: dhcp6Client}))
	}
	// Neighbour discovery in fragments is refused by its receivers (RFC 6980), but not by all.
	for kind := firstRouting; kind <= lastRouting; kind++ {
		s = append(s, refuse(filter.Malformed, filter.Match{Kind: filter.IPv6, Protocol: filter.ICMPv6, Fragment: filter.First, FromPort: kind}))
	}
	for _, kind := range neighbours {
		s = append(s,
			refuse(filter.Malformed, filter.Match{Kind: filter.IPv6, Protocol: filter.ICMPv6, FromPort: kind, ToPort: filter.Unseen, Target: in(none6)}),
			nextIf(filter.Match{Kind: filter.IPv6, Protocol: filter.ICMPv6, FromPort: kind, ToPort: filter.Unseen, Hops: 255}),
			refuse(filter.Malformed, filter.Match{Kind: filter.IPv6, Protocol: filter.ICMPv6, FromPort: kind}))
	}
	return s
}

var neighbours = []int{filter.NeighbourSolicitation, filter.NeighbourAdvertisement}

// message is a neighbour message that form lets pass. Open vSwitch keeps apart what differs
// in target or option only if it looks at the code as well.
func message(kind int) filter.Match {
	return filter.Match{Kind: filter.IPv6, Protocol: filter.ICMPv6, FromPort: kind, ToPort: filter.Unseen}
}

// binding: the hardware address that ARP and neighbour messages carry.
func (writer) binding() filter.Stage {
	s := filter.Stage{
		nextIf(filter.Match{Kind: filter.ARP, Link: ownStation}),
		refuse(filter.Address, filter.Match{Kind: filter.ARP}),
	}
	for _, kind := range neighbours {
		of := message(kind)
		with := func(s filter.Stations) filter.Match { m := of; m.Link = s; return m }
		s = append(s, nextIf(with(ownStation)), nextIf(with(noStation)), refuse(filter.Address, of))
	}
	return s
}

// source: the address that a frame is from.
func (w writer) source() filter.Stage {
	s := filter.Stage{
		nextIf(filter.Match{Kind: filter.ARP, From: in(none4)}), // a probe: its target counts
		nextIf(filter.Match{Kind: filter.IPv4, Protocol: filter.UDP, FromPort: dhcpClient, ToPort: dhcpServer, From: in(none4)}),
		refuse(filter.Address, filter.Match{Kind: filter.IPv6, Protocol: filter.ICMPv6, FromPort: filter.NeighbourAdvertisement, From: in(none6)}),
		nextIf(filter.Match{Kind: filter.IPv6, Protocol: filter.ICMPv6, From: in(none6)}),
	}
	for _, kind := range []filter.Kind{filter.ARP, filter.IPv4, filter.IPv6} {
		s = append(s, w.belongs(filter.Match{Kind: kind}, func(m *filter.Match, a filter.Addresses) { m.From = a })...)
	}
	return s
}

// target: the address that a probe asks for, or that an advertisement carries.
func (w writer) target() filter.Stage {
	sought := func(m *filter.Match, a filter.Addresses) { m.Target = a }
	s := w.belongs(filter.Match{Kind: filter.ARP, From: in(none4)}, func(m *filter.Match, a filter.Addresses) { m.To = a })
	s = append(s, w.belongs(message(filter.NeighbourAdvertisement), sought)...)
	probe := message(filter.NeighbourSolicitation)
	probe.From = in(none6)
	return append(s, w.belongs(probe, sought)...)
}

// belongs returns the rules for frames that must have an address of their sender in the
// field that set sets.
func (w writer) belongs(of filter.Match, set func(*filter.Match, filter.Addresses)) []filter.Rule {
	with := func(a filter.Addresses) filter.Match { m := of; set(&m, a); return m }
	local, never := linkLocal4, never4
	if of.Kind == filter.IPv6 {
		local, never = linkLocal6, never6
	}
	s := []filter.Rule{
		nextIf(with(own)),
		refuse(filter.Address, with(in(never...))),
		askAbout(filter.Address, with(in(local))), // whose it is depends on who used it first
	}
	switch w.mode {
	case Open:
		return append(s, refuse(filter.Address, with(others)), nextIf(of))
	case Claim:
		if same := family(w.subnets, local.Addr().Is6()); len(same) > 0 {
			s = append(s, askAbout(filter.Address, with(in(same...))))
		}
	case Strict:
	}
	return append(s, refuse(filter.Address, of))
}

func family(all []netip.Prefix, six bool) []netip.Prefix {
	return slices.DeleteFunc(slices.Clone(all), func(p netip.Prefix) bool { return p.Addr().Is6() != six })
}

// delivery: what a station gets.
func (w writer) delivery() filter.Stage {
	s := filter.Stage{passIf(filter.Match{Kind: filter.Tagged})}
	if w.mode == Open {
		return append(s,
			refuse(filter.Destination, filter.Match{Kind: filter.IPv4, To: others}),
			refuse(filter.Destination, filter.Match{Kind: filter.IPv6, To: others}))
	}
	return append(s,
		passIf(filter.Match{Kind: filter.IPv4, To: own}),
		passIf(filter.Match{Kind: filter.IPv4, To: in(groups4...)}),
		refuse(filter.Destination, filter.Match{Kind: filter.IPv4}),
		passIf(filter.Match{Kind: filter.IPv6, To: own}),
		passIf(filter.Match{Kind: filter.IPv6, To: in(append(slices.Clone(groups6), linkLocal6)...)}),
		refuse(filter.Destination, filter.Match{Kind: filter.IPv6}))
}
