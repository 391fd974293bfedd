package overlay

import (
	"fmt"
	"maps"
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
func (n *Node) HandOut(ranges []netip.Prefix) {
	ranges = slices.Clone(ranges)
	n.mail.put(func() {
		now := time.Now()
		before := n.site
		n.site.Ranges = ranges[:min(len(ranges), sites.MaxRanges)]
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

// Warnings returns a sentence for each member that hands out the same addresses as
// this engine.
func (n *Node) Warnings() []string {
	if w := n.warnings.Load(); w != nil {
		return *w
	}
	return nil
}

func (n *Node) tellSite(a *attempt, now time.Time) { a.tell(control.Site, n.site.Append(nil), now) }

// siteTold takes what a peer says of its site.
func (n *Node) siteTold(p *peer, id nodeid.ID, payload []byte, now time.Time) {
	s, err := sites.Parse(payload)
	if err != nil {
		n.drops.site.Add(1)
		n.blame(p.member, err, "description of its site refused", now)
		return
	}
	if known, ok := n.sites[id]; ok && known.Equal(s) {
		return
	}
	if !p.sites.left(now, siteRate, siteBurst) {
		n.drops.site.Add(1)
		return
	}
	p.sites.take()
	n.sites[id] = s
	n.compareSite(id)
}

// compareSite looks for addresses that this engine and a member both hand out, and logs
// what is new about them.
func (n *Node) compareSite(id nodeid.ID) {
	own, others := n.site.Overlap(n.sites[id])
	before := n.overlaps[id]
	if len(own) == 0 {
		delete(n.overlaps, id)
	} else {
		this := "this site"
		if n.site.Name != "" {
			this = "site " + n.site.Name
		}
		n.overlaps[id] = fmt.Sprintf("overlay %s: %s hands out addresses of %v, %s of %v, so two containers can get one address: create the network with an --ip-range of its own at each site",
			n.cfg.Overlay, this, own, n.called(id), others)
	}
	now := n.overlaps[id]
	if now == before {
		return
	}
	if now != "" {
		n.log.Warn(now)
	}
	n.showWarnings()
}

// forgetSite forgets what a member said that is none any more.
func (n *Node) forgetSite(id nodeid.ID) {
	delete(n.sites, id)
	delete(n.overlaps, id)
	n.showWarnings()
}

func (n *Node) showWarnings() {
	all := slices.Sorted(maps.Values(n.overlaps))
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
