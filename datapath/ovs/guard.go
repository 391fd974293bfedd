package ovs

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"

	openflow "github.com/digitalocean/go-openvswitch/ovs"

	"evio/datapath/filter"
)

// guard writes the rules of a guard as flows: one table for each stage, and one flow for
// each rule, or as many as a rule has addresses. A rule that speaks of what its sender has
// is written for each container; all others hold for all of them.
func (t *table) guard(g *filter.Guard) {
	send, receive := g.Stages()
	for i, stage := range send {
		here, then := tableStage+i, tableStage+i+1
		if i == len(send)-1 {
			then = tableForward
		}
		for j, r := range stage {
			t.sendRule(here, priorityOfRule-j, r, verdict(r, then, tableForward))
		}
		t.add(here, priorityMiss, flow{actions: next(then)})
	}
	for j, r := range receive {
		t.receiveRule(priorityOfRule-j, r, verdict(r, tableOutput, tableOutput))
	}
	t.add(tableReceive, priorityMiss, flow{actions: next(tableOutput)})
}

// verdict returns the actions of a rule.
func verdict(r filter.Rule, then, pass int) []openflow.Action {
	switch r.Then {
	case filter.Next:
		return next(then)
	case filter.Pass:
		return next(pass)
	case filter.Ask:
		return next(tableAsk)
	case filter.Refuse:
	}
	return next(tableRefuse + int(r.Cause))
}

func (t *table) sendRule(table, priority int, r filter.Rule, actions []openflow.Action) {
	its := filter.Self
	if r.Source.Of != its && r.Link.Of != its && r.From.Of != its && r.To.Of != its && r.Target.Of != its {
		t.rule(table, priority, 0, r, member{}, actions)
		return
	}
	for _, c := range t.containers {
		t.rule(table, priority, c.number, r, c, actions)
	}
}

// rule adds the flows of a rule for one sender.
func (t *table) rule(table, priority, in int, r filter.Rule, its member, actions []openflow.Action) {
	protocol, fields := shape(r.Match)
	one := []choice{fields}
	if r.Kind == filter.CutTag {
		one = each(one, "dl_type", []string{"0x8100", "0x88a8"})
	}
	from, to := "nw_src", "nw_dst"
	switch r.Kind {
	case filter.ARP:
		from, to = "arp_spa", "arp_tpa"
	case filter.IPv6:
		from, to = "ipv6_src", "ipv6_dst"
	default: // IPv4, and rules that do not speak of addresses
	}
	for _, f := range []struct {
		name string
		its  filter.Addresses
	}{{from, r.From}, {to, r.To}, {"nd_target", r.Target}} {
		one = each(one, f.name, t.prefixes(r.Kind, f.its, its.addresses()))
	}
	one = each(one, "dl_src", ranges(r.Source, its.MACs))
	one = each(one, "dl_dst", ranges(r.Destination, nil))
	one = each(one, linkField(r.Match), ranges(r.Link, its.MACs))
	for _, m := range one {
		t.add(table, priority, flow{protocol: protocol, in: in, matches: m, actions: actions})
	}
}

// receiveRule adds the flows of a rule for all containers that get something: what they
// have is behind their MAC addresses, and what Other has is what they have lost.
func (t *table) receiveRule(priority int, r filter.Rule, actions []openflow.Action) {
	if r.To.Of == filter.Nobody {
		t.rule(tableReceive, priority, 0, r, member{}, actions)
		return
	}
	for _, c := range t.containers {
		its := c.addresses()
		if r.To.Of == filter.Other {
			its = addresses(c.Lost)
		}
		only := r
		only.To.Of = filter.Self
		for _, m := range c.MACs {
			only.Destination = filter.Stations{In: []filter.Range{{MAC: m, Mask: wholeMAC}}}
			t.rule(tableReceive, priority, 0, only, member{Port: Port{Addrs: its}}, actions)
		}
	}
}

// choice is one way to match a rule: all of its fields.
type choice []openflow.Match

// each returns all choices with each of some values of a field; without values, none.
func each(all []choice, name string, values []string) []choice {
	var out []choice
	for _, c := range all {
		for _, v := range values {
			if v == "" {
				out = append(out, c)
				continue
			}
			out = append(out, append(slices.Clone(c), openflow.FieldMatch(name, v)))
		}
	}
	return out
}

// prefixes returns what an address must be, one empty string if it may be anything.
func (t *table) prefixes(k filter.Kind, a filter.Addresses, its []netip.Addr) []string {
	var out []string
	add := func(p netip.Prefix) {
		switch {
		case p.Addr().Is6() != (k == filter.IPv6):
		case p.Bits() == 0:
			out = append(out, "")
		case p.IsSingleIP():
			out = append(out, p.Addr().String())
		default:
			out = append(out, p.Masked().String())
		}
	}
	var of []netip.Addr
	switch a.Of {
	case filter.Nobody:
		for _, p := range a.In {
			add(p)
		}
		if len(a.In) == 0 {
			out = []string{""}
		}
		return out
	case filter.Self:
		of = its
	case filter.Other:
		of = t.held
	}
	for _, addr := range of {
		if len(a.In) == 0 || slices.ContainsFunc(a.In, func(p netip.Prefix) bool { return p.Contains(addr) }) {
			add(netip.PrefixFrom(addr, addr.BitLen()))
		}
	}
	return out
}

var wholeMAC = MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// ranges returns what a MAC address must be.
func ranges(s filter.Stations, its []MAC) []string {
	var out []string
	for _, r := range s.In {
		if r.Mask == wholeMAC {
			out = append(out, macText(r.MAC))
		} else {
			out = append(out, macText(r.MAC)+"/"+macText(r.Mask))
		}
	}
	if s.Of == filter.Self {
		for _, m := range its {
			out = append(out, macText(m))
		}
	} else if len(s.In) == 0 {
		out = []string{""}
	}
	return out
}

// linkField names the hardware address that a message tells of.
func linkField(m filter.Match) string {
	switch {
	case m.Kind == filter.ARP:
		return "arp_sha"
	case m.FromPort == filter.NeighbourSolicitation:
		return "nd_sll"
	}
	return "nd_tll"
}

// shape writes what of a match does not depend on addresses.
func shape(m filter.Match) (protocol openflow.Protocol, fields choice) {
	add := func(name string, value any) { fields = append(fields, openflow.FieldMatch(name, fmt.Sprint(value))) }
	number := func(name string, value int) {
		if value != 0 {
			add(name, max(value, 0))
		}
	}
	ports := [2]string{"icmp_type", "icmp_code"}
	switch m.Kind {
	case filter.Tagged:
		fields = match(openflow.VLANTCI(0x1000, 0x1000))
	case filter.PriorityTag:
		add("dl_vlan", 0)
	case filter.CutTag:
		add("vlan_tci", "0x0000/0x1000")
	case filter.ARP:
		protocol = openflow.ProtocolARP
		number("arp_op", m.Protocol)
	case filter.IPv4, filter.IPv6:
		protocol = protocols[m.Kind][m.Protocol]
		if protocol == "" {
			protocol = protocols[m.Kind][0]
			number("nw_proto", m.Protocol)
		}
		if m.Protocol == filter.UDP {
			ports = [2]string{"udp_src", "udp_dst"}
		}
	default: // any, and what the rules before it left
	}
	if m.Fragment != 0 {
		add("ip_frag", fragments[m.Fragment])
	}
	number("nw_ttl", int(m.Hops))
	number(ports[0], m.FromPort)
	number(ports[1], m.ToPort)
	return protocol, fields
}

var (
	protocols = map[filter.Kind]map[int]openflow.Protocol{
		filter.IPv4: {0: openflow.ProtocolIPv4, filter.UDP: openflow.ProtocolUDPv4, filter.ICMP: openflow.ProtocolICMPv4},
		filter.IPv6: {0: openflow.ProtocolIPv6, filter.UDP: openflow.ProtocolUDPv6, filter.ICMPv6: openflow.ProtocolICMPv6},
	}
	fragments = map[filter.Fragment]string{filter.Whole: "no", filter.First: "first", filter.Later: "later"}
)

// tagType is the EtherType of the tag that names a container to the asking port.
const tagType = 0x88a8

// ask gives the asking port what the process decides about, and takes it back. Containers
// without a tag, and bridges without that port, are refused what would be asked about.
func (t *table) ask() {
	for _, c := range t.containers {
		if t.asking == 0 || c.Tag == 0 {
			continue
		}
		const present = 0x1000 // in OpenFlow, of a tag
		var limit []openflow.Action
		if t.metered {
			limit = []openflow.Action{raw("meter:" + strconv.Itoa(int(c.Tag)))}
		}
		t.add(tableAsk, priorityAllow, flow{in: c.number, actions: append(limit,
			raw("push_vlan:0x"+strconv.FormatInt(tagType, 16)), openflow.SetField(strconv.Itoa(present|int(c.Tag)), "vlan_vid"), openflow.Output(t.asking),
		)})
		t.add(tableOrigin, priorityAllow, flow{in: t.asking, matches: match(openflow.FieldMatch("dl_vlan", strconv.Itoa(int(c.Tag)))), actions: []openflow.Action{
			raw("pop_vlan"), openflow.SetField(strconv.Itoa(c.number), "in_port"), openflow.Resubmit(0, tableStage),
		}})
	}
	t.add(tableAsk, priorityMiss, flow{actions: drop})
}

// raw is an action as ovs-ofctl writes it, for which the library has no type.
type raw string

func (a raw) MarshalText() ([]byte, error) { return []byte(a), nil }
func (a raw) GoString() string             { return strconv.Quote(string(a)) }
