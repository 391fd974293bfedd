package view

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"evio/driver/status"
)

// network is a section on one network: what it is, its containers here, its members
// and the tunnels to them.
func (p *page) network(d status.Document, n status.Network) {
	p.heading("Network %s", n.Label())
	switch {
	case !n.Running:
		p.line("does not run")
	case n.Local:
		p.line("of this engine alone, bridge %s, MTU %d, guard %s", n.Bridge, n.MTU, n.Guard)
	default:
		secret := ""
		if n.Secret {
			secret = ", overlay secret"
		}
		p.line("overlay %s, node %s", n.Overlay, n.Node)
		p.line("bridge %s, MTU %d, guard %s, encryption %s%s", n.Bridge, n.MTU, n.Guard, n.Encryption, secret)
		online := 0
		for _, m := range n.Members {
			if m.Online {
				online++
			}
		}
		p.line("other members: %d, online: %d", len(n.Members), online)
		p.linkOffload(n.TAPs)
	}
	rows := [][]string{{"INTERFACE", "MAC", "ADDRESSES", "STATE"}}
	for _, e := range n.Endpoints {
		rows = append(rows, []string{e.Interface, e.MAC, strings.Join(e.Addresses, ", "), e.State})
	}
	p.table(rows)
	p.claims(n)
	p.tunnels(n, d.Time)
}

// claims has a row for each address and MAC address that a container has claimed by itself,
// or announces without getting it.
func (p *page) claims(n status.Network) {
	rows := [][]string{{"CONTAINER", "ANNOUNCES", "STATE", "SINCE", "OTHER CONTAINER"}}
	for _, e := range n.Endpoints {
		for _, c := range e.Claims {
			rows = append(rows, []string{e.MAC, cmp.Or(c.Address, c.MAC), c.State, moment(c.Since), c.Container})
		}
	}
	if len(rows) > 1 {
		p.table(rows)
	}
}

// tunnels has a row for each member, with its session if there is one.
func (p *page) tunnels(n status.Network, now time.Time) {
	sessions := map[string]status.Session{}
	for _, s := range n.Sessions {
		sessions[s.Node] = s
	}
	members := slices.Clone(n.Members)
	slices.SortFunc(members, func(a, b status.Member) int {
		return cmp.Or(cmp.Compare(a.JID, b.JID), cmp.Compare(a.Node, b.Node))
	})
	rows := [][]string{{"PEER", "TUNNEL", "PATH", "REMOTE", "RTT", "TX", "RX", "FOR"}}
	for _, m := range members {
		s, ok := sessions[m.Node]
		if !ok {
			state := "offline"
			if m.Online {
				state = "none"
			}
			rows = append(rows, []string{peer(m), state, "", "", "", "", "", ""})
			continue
		}
		remote := s.Path.Remote
		if s.Path.Kind == "" {
			remote = "" // there is no path yet
		}
		rows = append(rows, []string{
			peer(m), s.State, s.Path.Kind, remote, roundTrip(s.RTTMillis), size(s.TxBytes), size(s.RxBytes), span(s.Established, now),
		})
	}
	p.table(rows)
	p.clocks(members)
}

// clocks names the members whose clocks are off by so much that people would see it.
func (p *page) clocks(members []status.Member) {
	for _, m := range members {
		if m.Clock == nil {
			continue
		}
		ahead, is, how := time.Duration(m.Clock.AheadMillis)*time.Millisecond, "is", "ahead of"
		if m.Clock.Likely {
			is = "seems to be"
		}
		if ahead < 0 {
			how = "behind"
		}
		if ahead = ahead.Abs().Round(time.Second); ahead > 0 {
			p.line("the clock of %s %s %v %s this engine's", peer(m), is, ahead, how)
		}
	}
}

// peer is a member's account, and its site where it says one.
func peer(m status.Member) string {
	if m.Site == "" {
		return m.JID
	}
	return m.JID + " (" + m.Site + ")"
}

// drops lists the counters that are not zero.
func (p *page) drops(d status.Document) {
	rows := [][]string{{"WHERE", "DROPPED", "COUNT"}}
	add := func(where string, drops map[string]uint64) {
		for _, cause := range slices.Sorted(maps.Keys(drops)) {
			if drops[cause] > 0 {
				rows = append(rows, []string{where, cause, fmt.Sprint(drops[cause])})
			}
		}
	}
	add("UDP socket", d.Transport.Drops)
	for _, s := range d.Signalling {
		add(s.JID, s.Drops)
	}
	for _, n := range d.Networks {
		add("network "+n.Label(), n.Drops)
		for _, s := range n.Sessions {
			add("network "+n.Label()+", tunnel to "+s.JID, s.Drops)
		}
	}
	if len(rows) == 1 {
		return
	}
	p.heading("Drops")
	p.table(rows)
}
