package ovs

import (
	"bytes"
	"cmp"
	"net"
	"net/netip"
	"slices"

	openflow "github.com/digitalocean/go-openvswitch/ovs"
)

// Tables of the pipeline. Every frame starts in the first; what no flow of a table
// takes is dropped there, in a flow of its own so that drops are counted by cause.
const (
	tableOrigin  = 0 // is it a port, and does the MAC address belong to it?
	tableSource  = 1 // a container's frame: is the source address its own?
	tableClaim   = 2 // a container's frame: does it tell the truth about neighbours?
	tableForward = 3 // a container's frame: where to?
	tableDeliver = 4 // a frame from a peer: to which container?

	tables = 5
)

// Priorities within a table; they only need to be ordered.
const (
	priorityMiss   = 0
	priorityAny    = 10  // what no rule speaks of
	priorityRefuse = 50  // what a rule speaks of and nothing allowed
	priorityAllow  = 100 // what is allowed
	priorityLost   = 120 // what is for a peer's address, at a container that has it as well
	priorityTag    = 150 // tagged frames, before looking inside
	priorityNever  = 200 // what nobody may send
)

const (
	group         = "01:00:00:00:00:00/01:00:00:00:00:00"
	unicastOnly   = "00:00:00:00:00:00/01:00:00:00:00:00"
	linkConstrain = "01:80:c2:00:00:00/ff:ff:ff:ff:ff:f0" // IEEE 802.1Q table 8-1
	linkLocal     = "fe80::/10"
	noMAC         = "00:00:00:00:00:00"

	neighbourSolicitation  = 135
	neighbourAdvertisement = 136

	portDHCPServer = 67
	portDHCPClient = 68
)

// Flows returns the flow table of a bridge, given the OpenFlow number of each of
// its ports; ports without one, and such that Validate refuses, are left out. It is
// a pure function: equal bridges give equal tables, whatever the order of their
// ports.
//
// A container sends from its own MAC address only; ARP and IPv4 from its own
// addresses, from 0.0.0.0 for probes and DHCP; IPv6 from its own, link-local or
// the unspecified address; neighbour advertisements for its own or link-local
// targets and with its own MAC address; everything else, tagged frames included,
// by MAC address alone. Frames tagged with VLAN 0 are refused, because receivers
// take the tag off and see what was not looked at.
//
// A container whose address a peer owns neither sends nor gets anything with it, and
// one whose MAC address a peer owns nothing at all.
//
// A link delivers unicast from that node's MAC addresses to local containers, and
// nothing else. The fabric port delivers to local containers, groups included.
func Flows(b Bridge, ofports map[string]int) []*openflow.Flow {
	t := newTable(b, ofports)
	t.refuse()
	for _, c := range t.containers {
		t.admitContainer(c)
	}
	for _, l := range t.links {
		t.admitLink(l)
	}
	t.forward()
	t.deliver()
	for n := range tables {
		t.add(n, priorityMiss, flow{actions: drop})
	}
	return t.flows
}

// flow is what differs between the flows of a table.
type flow struct {
	protocol openflow.Protocol
	in       int
	matches  []openflow.Match
	actions  []openflow.Action
}

var drop = []openflow.Action{openflow.Drop()}

func next(table int) []openflow.Action { return []openflow.Action{openflow.Resubmit(0, table)} }

// member is a port with its number.
type member struct {
	Port
	number int
}

// table collects the flows of one bridge.
type table struct {
	containers, links []member
	fabric            int // 0: none
	local             map[MAC]bool
	flows             []*openflow.Flow
}

func newTable(b Bridge, ofports map[string]int) *table {
	t := &table{local: map[MAC]bool{}}
	for _, p := range b.Ports {
		number := ofports[p.Name]
		if number <= 0 || p.validate() != nil {
			continue
		}
		switch p.Role {
		case Container:
			if p.Mute {
				continue
			}
			t.containers = append(t.containers, member{p, number})
			t.local[p.MACs[0]] = true
		case Link:
			t.links = append(t.links, member{p, number})
		case Fabric:
			t.fabric = number
		}
	}
	byName := func(a, b member) int { return cmp.Compare(a.Name, b.Name) }
	slices.SortFunc(t.containers, byName)
	slices.SortFunc(t.links, byName)
	return t
}

func (t *table) add(table, priority int, f flow) {
	t.flows = append(t.flows, &openflow.Flow{
		Table: table, Priority: priority, Protocol: f.protocol, InPort: f.in, Matches: f.matches, Actions: f.actions,
	})
}

// refuse adds what holds for all ports.
func (t *table) refuse() {
	t.add(tableOrigin, priorityNever, flow{matches: match(openflow.DataLinkDestination(linkConstrain)), actions: drop})
	t.add(tableOrigin, priorityNever, flow{matches: match(openflow.DataLinkSource(group)), actions: drop})
	if t.fabric != 0 {
		t.add(tableOrigin, priorityAllow, flow{in: t.fabric, actions: next(tableDeliver)})
	}
	// Containers' frames: tagged ones by MAC address alone.
	t.add(tableSource, priorityNever, flow{matches: match(openflow.FieldMatch("dl_vlan", "0")), actions: drop})
	t.add(tableSource, priorityTag, flow{matches: match(openflow.VLANTCI(0x1000, 0x1000)), actions: next(tableForward)})
	for _, p := range []openflow.Protocol{openflow.ProtocolARP, openflow.ProtocolIPv4, openflow.ProtocolIPv6} {
		t.add(tableSource, priorityRefuse, flow{protocol: p, actions: drop})
	}
	t.add(tableSource, priorityAny, flow{actions: next(tableForward)})
	for _, kind := range []uint8{neighbourSolicitation, neighbourAdvertisement} {
		t.add(tableClaim, priorityRefuse, flow{
			protocol: openflow.ProtocolICMPv6, matches: match(openflow.ICMP6Type(kind)), actions: drop,
		})
	}
	t.add(tableClaim, priorityAny, flow{actions: next(tableForward)})
}

// admitContainer adds what one container may send.
func (t *table) admitContainer(c member) {
	hw := net.HardwareAddr(c.MACs[0][:])
	t.add(tableOrigin, priorityAllow, flow{
		in: c.number, matches: match(openflow.DataLinkSource(hw.String())), actions: next(tableSource),
	})
	source := func(p openflow.Protocol, to int, m ...openflow.Match) {
		t.add(tableSource, priorityAllow, flow{protocol: p, in: c.number, matches: m, actions: next(to)})
	}
	sender := openflow.ARPSourceHardwareAddress(hw)
	source(openflow.ProtocolARP, tableForward, openflow.ARPSourceProtocolAddress("0.0.0.0"), sender)
	source(openflow.ProtocolUDPv4, tableForward, openflow.NetworkSource("0.0.0.0"),
		openflow.UDPSourcePort(portDHCPClient), openflow.UDPDestinationPort(portDHCPServer))
	source(openflow.ProtocolIPv6, tableClaim, openflow.IPv6Source(linkLocal))
	source(openflow.ProtocolICMPv6, tableClaim, openflow.IPv6Source("::"))

	targets := []string{linkLocal}
	for _, a := range addresses(c.Addrs) {
		if a.Is4() {
			source(openflow.ProtocolARP, tableForward, openflow.ARPSourceProtocolAddress(a.String()), sender)
			source(openflow.ProtocolIPv4, tableForward, openflow.NetworkSource(a.String()))
			continue
		}
		source(openflow.ProtocolIPv6, tableClaim, openflow.IPv6Source(a.String()))
		targets = append(targets, a.String())
	}
	t.admitClaims(c.number, hw, targets)
}

// admitClaims lets a container ask as itself and answer for what is its own: the
// link-layer option must be its own MAC address or missing.
func (t *table) admitClaims(in int, hw net.HardwareAddr, targets []string) {
	claim := func(m ...openflow.Match) {
		t.add(tableClaim, priorityAllow, flow{
			protocol: openflow.ProtocolICMPv6, in: in, matches: m, actions: next(tableForward),
		})
	}
	for _, mac := range []string{hw.String(), noMAC} {
		claim(openflow.ICMP6Type(neighbourSolicitation), openflow.FieldMatch("nd_sll", mac))
		for _, target := range targets {
			claim(openflow.ICMP6Type(neighbourAdvertisement),
				openflow.NeighborDiscoveryTarget(target), openflow.FieldMatch("nd_tll", mac))
		}
	}
}

// admitLink lets unicast in from the MAC addresses of the node at the other end,
// but never from one of a local container.
func (t *table) admitLink(l member) {
	for _, m := range hardware(l.MACs) {
		if t.local[m] {
			continue
		}
		t.add(tableOrigin, priorityAllow, flow{
			in: l.number,
			matches: match(openflow.DataLinkSource(net.HardwareAddr(m[:]).String()),
				openflow.DataLinkDestination(unicastOnly)),
			actions: next(tableDeliver),
		})
	}
}

// forward adds the ways of containers' frames. An address that several links claim
// is reached by the first; local ones come before all.
func (t *table) forward() {
	taken := map[MAC]bool{}
	for _, c := range t.containers {
		taken[c.MACs[0]] = true
		t.unicast(tableForward, c.MACs[0], c.number)
		t.withhold(tableForward, c)
	}
	for _, l := range t.links {
		for _, m := range hardware(l.MACs) {
			if !taken[m] {
				taken[m] = true
				t.unicast(tableForward, m, l.number)
			}
		}
	}
	// The port of entry is left out by the switch itself.
	all := t.allContainers()
	if t.fabric != 0 {
		fabric := openflow.Output(t.fabric)
		all = append(all, fabric)
		t.add(tableForward, priorityAny, flow{actions: []openflow.Action{fabric}})
	}
	t.groups(tableForward, all)
}

// deliver adds the ways of frames from peers.
func (t *table) deliver() {
	for _, c := range t.containers {
		t.unicast(tableDeliver, c.MACs[0], c.number)
		t.withhold(tableDeliver, c)
	}
	t.groups(tableDeliver, t.allContainers())
}

// withhold keeps from a container what is for addresses that a peer owns: who has talked
// to the container may still think that they are behind its MAC address.
func (t *table) withhold(table int, c member) {
	to := openflow.DataLinkDestination(net.HardwareAddr(c.MACs[0][:]).String())
	for _, a := range addresses(c.Lost) {
		f := flow{protocol: openflow.ProtocolIPv4, matches: match(to, openflow.NetworkDestination(a.String())), actions: drop}
		if a.Is6() {
			f.protocol, f.matches = openflow.ProtocolIPv6, match(to, openflow.IPv6Destination(a.String()))
		}
		t.add(table, priorityLost, f)
	}
}

func (t *table) unicast(table int, to MAC, port int) {
	t.add(table, priorityAllow, flow{
		matches: match(openflow.DataLinkDestination(net.HardwareAddr(to[:]).String())),
		actions: []openflow.Action{openflow.Output(port)},
	})
}

// groups sends broadcast and multicast frames out of ports, if there are any.
func (t *table) groups(table int, ports []openflow.Action) {
	if len(ports) > 0 {
		t.add(table, priorityRefuse, flow{matches: match(openflow.DataLinkDestination(group)), actions: ports})
	}
}

func (t *table) allContainers() []openflow.Action {
	ports := make([]openflow.Action, 0, len(t.containers)+1)
	for _, c := range t.containers {
		ports = append(ports, openflow.Output(c.number))
	}
	return ports
}

func match(m ...openflow.Match) []openflow.Match { return m }

// hardware returns the unicast addresses among macs, sorted, each once.
func hardware(macs []MAC) []MAC {
	out := slices.DeleteFunc(slices.Clone(macs), func(m MAC) bool { return !unicast(m) })
	slices.SortFunc(out, func(a, b MAC) int { return bytes.Compare(a[:], b[:]) })
	return slices.Compact(out)
}

// addresses returns addrs sorted, each once.
func addresses(addrs []netip.Addr) []netip.Addr {
	out := slices.Clone(addrs)
	slices.SortFunc(out, netip.Addr.Compare)
	return slices.Compact(out)
}
