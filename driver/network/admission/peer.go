package admission

import (
	"net/netip"

	"evio/datapath/filter"
	"evio/overlay"
	"evio/overlay/nodeid"
)

// A peer's engine is not trusted to hold its containers to the rules. What comes from it,
// by data or by floods, is held to the same rules here, by the directory: its own is what
// the directory gives to that member.

// Fault is what is wrong with a frame of a peer.
type Fault struct {
	Cause filter.Cause // None: nothing
	Final bool         // no record of the directory can mend it
	Taken bool         // another node holds what the frame claims
}

// Rules are those of one network. Any goroutine may use them.
type Rules struct {
	Guard *filter.Guard
	LinkLocals
}

// Peer looks for what is wrong with a frame of a member. It allocates nothing.
func (r *Rules) Peer(t *overlay.Table, origin nodeid.ID, frame []byte) Fault {
	v, ok := filter.Parse(frame)
	if !ok {
		return Fault{Cause: filter.Malformed, Final: true}
	}
	f := r.facts(t, origin, &v)
	verdict, cause := r.Guard.Send(&v, f)
	if verdict == filter.Pass {
		return r.firstUse(t, &v)
	}
	return Fault{
		Cause: cause, Final: cause == filter.Malformed || cause == filter.Role,
		Taken: f.Source == filter.Other || f.Link == filter.Other || f.From == filter.Other || f.To == filter.Other || f.Target == filter.Other,
	}
}

// facts asks the directory whose a frame's addresses are.
func (r *Rules) facts(t *overlay.Table, origin nodeid.ID, v *filter.View) filter.Facts {
	f := filter.Facts{Source: macHolder(t, origin, v.Source)}
	switch v.Kind {
	case filter.ARP:
		f.Link = macHolder(t, origin, v.Link)
		f.From = r.addrHolder(t, origin, v.From, v.Link)
		if v.From.IsUnspecified() {
			f.To = r.addrHolder(t, origin, v.To, v.Link)
		}
	case filter.IPv4, filter.IPv6:
		f.From = r.addrHolder(t, origin, v.From, v.Source)
		if isNeighbour(v) {
			if mac := v.Link; mac != (overlay.MAC{}) {
				f.Link = macHolder(t, origin, mac)
			}
			if sought(v) {
				f.Target = r.addrHolder(t, origin, v.Target, speaksFor(v))
			}
		}
	case filter.Any, filter.Else, filter.Tagged, filter.PriorityTag, filter.CutTag:
	}
	return f
}

func isNeighbour(v *filter.View) bool {
	return v.Kind == filter.IPv6 && v.Protocol == filter.ICMPv6 && (v.FromPort == filter.NeighbourSolicitation || v.FromPort == filter.NeighbourAdvertisement)
}

// sought reports whether the target of a neighbour message is what its sender has or wants.
func sought(v *filter.View) bool {
	return v.FromPort == filter.NeighbourAdvertisement || v.From.IsUnspecified()
}

// speaksFor returns the hardware address that a neighbour message is about: without an
// option its sender's.
func speaksFor(v *filter.View) overlay.MAC {
	if v.Link != (overlay.MAC{}) {
		return v.Link
	}
	return v.Source
}

func macHolder(t *overlay.Table, origin nodeid.ID, mac overlay.MAC) filter.Holder {
	e, known := t.LookupMAC(mac)
	return holder(e, known, origin)
}

func (r *Rules) addrHolder(t *overlay.Table, origin nodeid.ID, a netip.Addr, mac overlay.MAC) filter.Holder {
	e, known := t.Lookup(a)
	if !known && a.IsLinkLocalUnicast() {
		return r.holder(t, a, mac)
	}
	return holder(e, known, origin)
}

func holder(e overlay.Entry, known bool, origin nodeid.ID) filter.Holder {
	switch {
	case !known:
		return filter.Nobody
	case e.Node == origin:
		return filter.Self
	}
	return filter.Other
}

// firstUse gives a frame that is right otherwise the link-local addresses that it uses.
func (r *Rules) firstUse(t *overlay.Table, v *filter.View) Fault {
	taken := Fault{Cause: filter.Address, Taken: true}
	use := func(a netip.Addr, mac overlay.MAC) bool {
		_, known := t.Lookup(a)
		return known || !a.IsLinkLocalUnicast() || r.take(t, a, mac, maxNodeLinkLocals)
	}
	switch v.Kind {
	case filter.ARP:
		if !use(v.From, v.Link) || v.From.IsUnspecified() && !use(v.To, v.Link) {
			return taken
		}
	case filter.IPv4, filter.IPv6:
		if !use(v.From, v.Source) || isNeighbour(v) && sought(v) && !use(v.Target, speaksFor(v)) {
			return taken
		}
	case filter.Any, filter.Else, filter.Tagged, filter.PriorityTag, filter.CutTag:
	}
	return Fault{}
}
