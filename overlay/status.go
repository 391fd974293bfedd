package overlay

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"evio/overlay/contact"
	"evio/overlay/nodeid"
	"evio/overlay/symphony"
)

// Status describes a node for people.
type Status struct {
	Members      []MemberStatus // in the order of node IDs
	Successors   []nodeid.ID    // nearest first
	LongDistance []nodeid.ID
	Estimate     float64 // nodes in the overlay, estimated from the ring
	Conflicts    []Conflict
	Drops        map[string]uint64
}

// MemberStatus describes another member.
type MemberStatus struct {
	JID        string
	Node       nodeid.ID
	Online     bool
	Membership string        // what it is a member by, see member.Member
	Site       string        // what it calls its place; empty: nothing, or not known
	Clock      *Clock        // nil: it is not known
	Contact    contact.State // Idle also for a member that is no peer
	Err        error         // of the last session with it that ended
	Session    Session       // the one that serves, nil for none
}

// Conflict is an address of a container here that another node holds, or without one a
// MAC address. The container has no traffic with it.
type Conflict struct {
	Addr  netip.Addr
	MAC   MAC
	Node  nodeid.ID
	JID   string // empty: it is no member any more
	Site  string
	Since time.Time
}

// Status asks the node's goroutine; it fails when the context ends first or the
// node has ended.
func (n *Node) Status(ctx context.Context) (Status, error) {
	answer := make(chan Status, 1)
	if !n.mail.put(func() { answer <- n.status() }) {
		return Status{}, errEnded
	}
	select {
	case s := <-answer:
		return s, nil
	case <-n.done:
		return Status{}, errEnded
	case <-ctx.Done():
		return Status{}, ctx.Err()
	}
}

func (n *Node) status() Status {
	s := Status{Successors: n.ring.Successors(), Estimate: n.ring.Estimate(), Drops: n.drops.byCause()}
	if ignored := n.ring.Ignored(); ignored > 0 {
		s.Drops["ring"] = ignored
	}
	for cause, count := range n.floods.stats().ByCause() {
		s.Drops["flood-"+cause] = count
	}
	for _, l := range n.ring.Links() {
		if l.Type == symphony.LongDistance || l.Type == symphony.Incoming {
			s.LongDistance = append(s.LongDistance, l.ID)
		}
	}
	for id, m := range n.members {
		ms := MemberStatus{JID: m.JID, Node: id, Online: m.Online, Membership: m.Membership, Site: n.sites[id].Name}
		if c, known := n.clocks[id]; known {
			ms.Clock = &c.Clock
		}
		if p := n.peers[id]; p != nil {
			c := p.contact.Status()
			ms.Contact, ms.Err = c.State, c.Err
			if p.serving != nil {
				ms.Session = p.serving.session
			}
		}
		s.Members = append(s.Members, ms)
	}
	for _, c := range n.directory.Conflicts(time.Now()) {
		s.Conflicts = append(s.Conflicts, Conflict{
			Addr: c.Addr, MAC: c.MAC, Node: c.Owner, JID: n.members[c.Owner].JID, Site: n.sites[c.Owner].Name, Since: c.Since,
		})
	}
	slices.SortFunc(s.Members, func(a, b MemberStatus) int { return nodeid.Compare(a.Node, b.Node) })
	return s
}
