package directory

import (
	"maps"
	"slices"
	"time"

	"evio/overlay/nodeid"
)

// NodeReachable says that a session with a node has begun, also when it replaces
// one: what that node announces next it may have claimed without knowing of ours.
// The caller then sends it Own.
func (d *Directory) NodeReachable(id nodeid.ID, now time.Time) Update {
	var u Update
	n := d.node(id, now)
	was := d.away(id, now)
	n.reachable, n.since, n.session, n.waiting = true, now, now, false
	if was {
		d.settleOf(id, now, &u)
	}
	return u
}

// NodeUnreachable says that there has been no session with a node since that
// time. Its claims stay; 3 s later others may take its keys.
func (d *Directory) NodeUnreachable(id nodeid.ID, since time.Time) {
	if n := d.node(id, since); n.reachable {
		n.reachable, n.since, n.waiting = false, since, true
	}
}

// DropNode forgets a node that is no member any more, with all that it claimed.
func (d *Directory) DropNode(id nodeid.ID, now time.Time) Update {
	var u Update
	if id != d.self {
		d.purge(now, &u, func(c Claim) bool { return c.Owner == id })
		delete(d.nodes, id)
	}
	return u
}

// Tick does what is due at now: it signs our claims again, ends those of others
// that were not renewed, and looks for keys whose owner is away.
func (d *Directory) Tick(now time.Time) Update {
	var u Update
	for _, id := range slices.SortedFunc(maps.Keys(d.nodes), nodeid.Compare) {
		if n := d.nodes[id]; n.waiting && !now.Before(n.since.Add(grace)) {
			n.waiting = false
			d.settleOf(id, now, &u)
		}
	}
	if now.Before(d.sweepAt) {
		return u
	}
	d.sweepAt = now.Add(sweepPause)
	for _, k := range d.due(now) {
		own := d.places[k].of(d.self)
		u.Announce = append(u.Announce, d.issue(k, own.MAC, own.Generation, false, now))
	}
	before := d.stats.Expired
	removed := d.purge(now, &u, func(c Claim) bool { return c.Expiry.Add(Skew).Before(now) })
	d.stats.Expired = before + uint64(removed)
	return u
}

// due returns the keys whose claim we have to sign again, in order. Others judge
// its age by the wall clock, so a clock that was set back or an engine that slept
// makes it due as well.
func (d *Directory) due(now time.Time) []Key {
	var keys []Key
	for k, w := range d.wants {
		age := now.Round(0).Sub(w.signed)
		if !w.lost && (age < 0 || age >= w.refresh) {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, Key.compare)
	return keys
}

// settleOf settles every key that a node claims.
func (d *Directory) settleOf(id nodeid.ID, now time.Time, u *Update) {
	var keys []Key
	for k, p := range d.places {
		if c := p.of(id); c != nil && !c.Withdrawn {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, Key.compare)
	for _, k := range keys {
		d.settle(k, now, u)
	}
}

// node returns what is known of another node; one that was not known is taken to
// be out of reach from now on.
func (d *Directory) node(id nodeid.ID, now time.Time) *node {
	n := d.nodes[id]
	if n == nil {
		n = &node{since: now, waiting: true}
		d.nodes[id] = n
	}
	return n
}

// forget bounds the withdrawn claims that are remembered of a node: the oldest go
// first. An old record brought back after that can revive no more than what its
// expiry allows.
func (d *Directory) forget(id nodeid.ID) {
	if n := d.nodes[id]; len(d.places) <= maxWithdrawn || n != nil && n.withdrawn <= maxWithdrawn {
		return
	}
	var oldest Key
	var sequence uint64
	withdrawn := 0
	for k, p := range d.places {
		c := p.of(id)
		if c == nil || !c.Withdrawn {
			continue
		}
		if withdrawn++; withdrawn == 1 || c.Sequence < sequence {
			oldest, sequence = k, c.Sequence
		}
	}
	if withdrawn <= maxWithdrawn {
		return
	}
	p := d.places[oldest]
	p.claims = slices.DeleteFunc(p.claims, func(c claimed) bool { return c.Owner == id })
	if n := d.nodes[id]; n != nil {
		n.withdrawn--
	}
	if len(p.claims) == 0 {
		delete(d.places, oldest)
	}
}
