package overlay

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"evio/overlay/control"
	"evio/overlay/nodeid"
	"evio/overlay/sites"
)

const (
	// siteBurst is how many new descriptions of its site a peer may give at once, and
	// siteRate how many more in a second. Saying the same again costs nothing.
	siteBurst = 16
	siteRate  = 0.1
)

// HandOut says from which ranges this engine hands out addresses, and does not wait.
// Those that are not a whole subnet are claimed.
func (n *Node) HandOut(ranges []netip.Prefix) {
	ranges = slices.Clone(ranges[:min(len(ranges), sites.MaxRanges)])
	own := slices.DeleteFunc(slices.Clone(ranges), func(r netip.Prefix) bool { return slices.Contains(n.cfg.Subnets, r) })
	n.describe(func(s *sites.Site) { s.Ranges = ranges })
	n.mail.put(func() {
		now := time.Now()
		n.directoryChanged(n.directory.SetRanges(own, now), now)
	})
}

// Losing says whether this engine loses frames of the network, and does not wait.
func (n *Node) Losing(losing bool) {
	n.describe(func(s *sites.Site) { s.Losing = losing })
}

// describe changes the description of this site, which others hear if it is news.
func (n *Node) describe(change func(*sites.Site)) {
	n.mail.put(func() {
		now := time.Now()
		before := n.site
		change(&n.site)
		if n.site.Equal(before) {
			return
		}
		for _, p := range n.peers {
			if p.serving != nil {
				n.tellSite(p.serving, now)
			}
		}
		for id := range n.sites {
			n.compareSite(id)
		}
	})
}

// Warnings returns a sentence for each thing in which this site and a member's, or their
// clocks, do not go together.
func (n *Node) Warnings() []string {
	if w := n.warnings.Load(); w != nil {
		return *w
	}
	return nil
}

func (n *Node) tellSite(a *peerSession, now time.Time) { a.tell(control.Site, n.site.Append(nil), now) }

// siteTold takes what a peer says of its site.
func (n *Node) siteTold(p *peer, id nodeid.ID, payload []byte, now time.Time) {
	s, err := sites.Parse(payload)
	if err != nil {
		n.drops.site.Add(1)
		n.complain(p.member, err, "description of its site refused", now)
		return
	}
	known, ok := n.sites[id]
	if ok && known.Equal(s) {
		n.compareSite(id) // it has come back
		return
	}
	if !p.sites.AllowN(now, 1) {
		n.drops.site.Add(1)
		return
	}
	n.sites[id] = s
	n.directoryChanged(n.directory.SetGateways(id, s.Gateways, now), now)
	n.compareSite(id)
}

// compareSite looks for what does not go together at this site and at that of a member
// with a session, and logs what is new about it.
func (n *Node) compareSite(id nodeid.ID) {
	var found []string
	if p := n.peers[id]; p != nil && p.serving != nil {
		found = n.mismatches(id)
	}
	if slices.Equal(found, n.mismatched[id]) {
		return
	}
	n.mismatched[id] = found
	for _, sentence := range found {
		if !slices.Contains(n.mentioned[id], sentence) {
			n.log.Warn(sentence)
		}
	}
	if len(found) > 0 {
		n.mentioned[id] = found
	}
	n.showWarnings()
}

// mismatches returns a sentence for each thing in which this site and a member's do not
// go together.
func (n *Node) mismatches(id nodeid.ID) []string {
	other := n.sites[id]
	this, that := "this site", n.called(id)
	if n.site.Name != "" {
		this = "site " + n.site.Name
	}
	var out []string
	say := func(format string, args ...any) {
		out = append(out, "overlay "+n.cfg.Overlay+": "+fmt.Sprintf(format, args...))
	}
	if own, others := n.site.Overlap(other); len(own) > 0 {
		say("%s hands out addresses of %v, %s of %v, so two containers can get one address: remove the network at one of the two and create it again with an --ip-range that no other site uses",
			this, own, that, others)
	}
	if n.site.MTU != 0 && other.MTU != 0 && n.site.MTU != other.MTU {
		say("the network's MTU is %d at %s and %d at %s, so packets of more than %d bytes are lost between them: remove the network at one of the two and create it again with the other's -o com.docker.network.driver.mtu=BYTES",
			n.site.MTU, this, other.MTU, that, min(n.site.MTU, other.MTU))
	}
	if n.site.Guard != "" && other.Guard != "" && n.site.Guard != other.Guard {
		say("evio.guard is %s at %s and %s at %s, so the stricter one refuses some of what the other lets its containers send: remove the network at one of the two and create it again with the other's -o evio.guard=MODE",
			n.site.Guard, this, other.Guard, that)
	}
	if other.Losing {
		say("%s loses frames of this network to limits or queues of its own: run evio status there to see which and what to do", that)
	}
	if own, others := n.site.Subnets, other.Subnets; (len(own) == 0) != (len(others) == 0) {
		has, subnets, not := this, own, that
		if len(own) == 0 {
			has, subnets, not = that, others, this
		}
		say("the network's subnets are %v at %s and it has none at %s (--ipam-driver null), so %s refuses what containers send with other addresses: remove the network at one of the two and create it again with the other's --subnet or --ipam-driver",
			subnets, has, not, has)
	}
	if own, others := n.site.Apart(other, false); len(own) > 0 {
		say("the network's IPv4 subnet is %v at %s and %v at %s, so their containers do not reach each other by IPv4: remove the network at one of the two and create it again with the other's --subnet",
			own, this, others, that)
	}
	if own, others := n.site.Apart(other, true); len(own) > 0 {
		say("the network's IPv6 subnet is %v at %s and %v at %s, so their containers do not reach each other by IPv6: remove the network at one of the two and create it again with the other's IPv6 --subnet; without --subnet each engine chooses its own",
			own, this, others, that)
	}
	return out
}

// forgetSite forgets what a member said that is none any more.
func (n *Node) forgetSite(id nodeid.ID) {
	if _, told := n.sites[id]; told {
		now := time.Now()
		n.directoryChanged(n.directory.SetGateways(id, nil, now), now)
	}
	delete(n.sites, id)
	delete(n.mismatched, id)
	delete(n.mentioned, id)
	n.showWarnings()
}

func (n *Node) showWarnings() {
	all := slices.Sorted(func(yield func(string) bool) {
		for _, found := range n.mismatched {
			for _, sentence := range found {
				if !yield(sentence) {
					return
				}
			}
		}
		for id := range n.clocks {
			if sentence := n.clockFault(id); sentence != "" && !yield(sentence) {
				return
			}
		}
	})
	n.warnings.Store(&all)
}

// called returns how people know a node: by its account, and its site if it has told.
func (n *Node) called(id nodeid.ID) string {
	m, known := n.members[id]
	switch name := n.sites[id].Name; {
	case id == n.id:
		return "this engine"
	case !known:
		return "node " + id.String()
	case name != "":
		return m.JID + " at site " + name
	default:
		return m.JID
	}
}
