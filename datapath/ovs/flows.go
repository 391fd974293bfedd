package ovs

import (
	"bytes"
	"cmp"
	"net"
	"net/netip"
	"slices"

	openflow "github.com/digitalocean/go-openvswitch/ovs"

	"evio/datapath/filter"
)

// Tables of the pipeline. Every frame starts in the first; what no flow of a table
// takes is dropped there or goes on. Frames that are refused end in a table of their
// cause, so that they are counted by it.
const (
	tableOrigin  = 0                                // from which kind of port?
	tableStage   = 1                                // a container's frame: the stages of the guard
	tableAsk     = tableStage + filter.MaxStages    // a container's frame that the process decides about
	tableForward = tableAsk + 1                     // a container's frame: where to?
	tableDeliver = tableForward + 1                 // a frame from a peer: to which container?
	tableReceive = tableDeliver + 1                 // a frame for a container: may it have it?
	tableOutput  = tableReceive + 1                 // a frame for a container
	tableRefuse  = tableOutput + 1                  // and one table for each cause
	tables       = tableRefuse + int(filter.Causes) // how many there are
)

// Priorities within a table; they only need to be ordered.
const (
	priorityMiss   = 0
	priorityAny    = 10  // what no rule speaks of
	priorityGroup  = 50  // to groups
	priorityAllow  = 100 // what is allowed
	priorityNever  = 200 // what nobody may send
	priorityOfRule = 1000
)

const (
	group         = "01:00:00:00:00:00/01:00:00:00:00:00"
	unicastOnly   = "00:00:00:00:00:00/01:00:00:00:00:00"
	linkConstrain = "01:80:c2:00:00:00/ff:ff:ff:ff:ff:f0" // IEEE 802.1Q table 8-1
)

// Flows returns the flow table of a bridge, given the OpenFlow number of each of
// its ports; ports without one, and ports that Validate refuses, are left out. It is
// a pure function: equal bridges give equal tables, whatever the order of their
// ports.
//
// What a container sends, and what it gets, is for the bridge's guard to say. A
// container whose MAC address a peer owns sends and gets nothing at all.
//
// A link delivers unicast from that node's MAC addresses to local containers, and
// nothing else. The fabric port delivers to local containers, groups included. What
// the asking port puts back is looked at as if it came from its container.
func Flows(b Bridge, ofports map[string]int) []*openflow.Flow {
	t := newTable(b, ofports)
	t.admit()
	t.guard(b.Guard)
	t.ask()
	t.forward()
	t.deliver()
	t.refuse()
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

// addresses returns all that a container has.
func (m member) addresses() []netip.Addr { return addresses(slices.Concat(m.Addrs, m.Taken)) }

// table collects the flows of one bridge.
type table struct {
	containers, links []member
	fabric, asking    int // 0: none
	metered           bool
	local             map[MAC]bool
	held              []netip.Addr // by anybody
	flows             []*openflow.Flow
}

func newTable(b Bridge, ofports map[string]int) *table {
	t := &table{local: map[MAC]bool{}, held: slices.Clone(b.Elsewhere), metered: !b.unmetered}
	for _, p := range b.Ports {
		if p.validate() != nil {
			continue
		}
		t.held = append(append(t.held, p.Addrs...), p.Taken...)
		number := ofports[p.Name]
		if number <= 0 {
			continue
		}
		switch p.Role {
		case Container:
			if p.Mute {
				continue
			}
			p.MACs = hardware(p.MACs)
			t.containers = append(t.containers, member{p, number})
			for _, m := range p.MACs {
				t.local[m] = true
			}
		case Link:
			t.links = append(t.links, member{p, number})
		case Fabric:
			t.fabric = number
		case Asking:
			t.asking = number
		}
	}
	t.held = addresses(t.held)
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

// admit lets frames in by the ports.
func (t *table) admit() {
	if t.fabric != 0 {
		t.add(tableOrigin, priorityAllow, flow{in: t.fabric, actions: next(tableDeliver)})
		t.add(tableOrigin, priorityNever+1, flow{in: t.fabric, matches: match(openflow.DataLinkDestination(linkConstrain)), actions: next(tableRefuse + int(filter.Malformed))})
		t.add(tableOrigin, priorityNever, flow{in: t.fabric, matches: match(openflow.DataLinkSource(group)), actions: next(tableRefuse + int(filter.Station))})
	}
	for _, c := range t.containers {
		t.add(tableOrigin, priorityAllow, flow{in: c.number, actions: next(tableStage)})
	}
	for _, l := range t.links {
		t.admitLink(l)
	}
	t.add(tableOrigin, priorityMiss, flow{actions: drop})
}

// admitLink lets unicast in from the MAC addresses of the node at the other end,
// but never from one of a local container.
func (t *table) admitLink(l member) {
	for _, m := range hardware(l.MACs) {
		if t.local[m] {
			continue
		}
		t.add(tableOrigin, priorityAllow, flow{
			in:      l.number,
			matches: match(openflow.DataLinkSource(macText(m)), openflow.DataLinkDestination(unicastOnly)),
			actions: next(tableDeliver),
		})
	}
}

// forward adds the ways of containers' frames. An address that several links claim
// is reached by the first; local ones come before all.
func (t *table) forward() {
	taken := map[MAC]bool{}
	for _, c := range t.containers {
		for _, m := range c.MACs {
			taken[m] = true
			t.unicast(tableForward, m, next(tableReceive))
		}
	}
	for _, l := range t.links {
		for _, m := range hardware(l.MACs) {
			if !taken[m] {
				taken[m] = true
				t.unicast(tableForward, m, output(l.number))
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
	t.add(tableForward, priorityMiss, flow{actions: drop})
}

// deliver adds the ways of frames from peers, and the last step of all that is for
// containers.
func (t *table) deliver() {
	for _, c := range t.containers {
		for _, m := range c.MACs {
			t.unicast(tableDeliver, m, next(tableReceive))
			t.unicast(tableOutput, m, output(c.number))
		}
	}
	t.groups(tableDeliver, t.allContainers())
	t.add(tableDeliver, priorityMiss, flow{actions: drop})
}

// refuse adds the ends of what is refused.
func (t *table) refuse() {
	for c := filter.None + 1; c < filter.Causes; c++ {
		t.add(tableRefuse+int(c), priorityMiss, flow{actions: drop})
	}
}

func (t *table) unicast(table int, to MAC, actions []openflow.Action) {
	t.add(table, priorityAllow, flow{matches: match(openflow.DataLinkDestination(macText(to))), actions: actions})
}

func output(port int) []openflow.Action { return []openflow.Action{openflow.Output(port)} }

// groups sends broadcast and multicast frames out of ports, if there are any.
func (t *table) groups(table int, ports []openflow.Action) {
	if len(ports) > 0 {
		t.add(table, priorityGroup, flow{matches: match(openflow.DataLinkDestination(group)), actions: ports})
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

func macText(m MAC) string { return net.HardwareAddr(m[:]).String() }

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
