package directory

import (
	"container/heap"
	"maps"
	"slices"
	"time"

	"evio/overlay/nodeid"
)

// agenda is what is resolved later, a heap by time.
type agenda []appointment

type appointment struct {
	at  time.Time
	key Key
}

func (a agenda) Len() int           { return len(a) }
func (a agenda) Less(i, j int) bool { return a[i].at.Before(a[j].at) }
func (a agenda) Swap(i, j int)      { a[i], a[j] = a[j], a[i] }
func (a *agenda) Push(x any)        { *a = append(*a, x.(appointment)) }
func (a *agenda) Pop() any {
	last := (*a)[len(*a)-1]
	*a = (*a)[:len(*a)-1]
	return last
}

// remind has a key resolved at that time, unless it is already by then.
func (d *Directory) remind(k Key, at time.Time) {
	p := d.keys[k]
	if p == nil || !p.due.IsZero() && !at.Before(p.due) {
		return
	}
	p.due = at
	heap.Push(&d.agenda, appointment{at, k})
}

// NextTick returns the next time at which Tick is needed, zero for none.
func (d *Directory) NextTick() time.Time {
	var next time.Time
	if len(d.keys) > 0 {
		next = d.sweepAt
	}
	if len(d.agenda) > 0 && d.agenda[0].at.Before(next) {
		next = d.agenda[0].at
	}
	if len(d.recalled.Changes) > 0 {
		next = d.recalledAt
	}
	for _, n := range d.nodes {
		if at := n.since.Add(grace); n.waiting && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	return next
}

// Tick does what is due at now: it signs our claims again, ends those of others
// that were not renewed, looks for keys whose owner is away, and resolves what waited.
func (d *Directory) Tick(now time.Time) Update {
	u := d.recalled
	d.recalled = Update{}
	for _, id := range slices.SortedFunc(maps.Keys(d.nodes), nodeid.Compare) {
		if n := d.nodes[id]; n.waiting && !now.Before(n.since.Add(grace)) {
			n.waiting = false
			d.settleOf(n, now, &u)
		}
	}
	for len(d.agenda) > 0 && !d.agenda[0].at.After(now) {
		a := heap.Pop(&d.agenda).(appointment)
		if p := d.keys[a.key]; p != nil && p.due.Equal(a.at) {
			p.due = time.Time{}
			d.resolve(a.key, now, &u)
		}
	}
	if len(d.keys) > 0 && !now.Before(d.sweepAt) {
		d.sweepAt = now.Add(sweepPause)
		d.sweep(now, &u)
	}
	return u
}

// sweep looks at the ages of all claims.
func (d *Directory) sweep(now time.Time, u *Update) {
	for _, k := range d.due(now) {
		d.issue(k, d.wants[k], d.keys[k].of(d.self).Generation, 0, now, u)
	}
	for _, k := range slices.SortedFunc(maps.Keys(d.mine.keys), Key.compare) {
		if c := d.keys[k].of(d.self); !c.Follows.IsZero() && d.wall(now).Sub(c.signed()) >= refreshAge {
			d.resolve(k, now, u)
		}
	}
	ids := slices.SortedFunc(maps.Keys(d.nodes), nodeid.Compare)
	for _, id := range append(ids, d.self) {
		n := d.of(id)
		late := Skew
		if id != d.self && !n.reachable {
			late += refreshAge // it gets back what it had within half an hour
		}
		before := d.stats.Expired
		removed := d.purge(n, now, u, func(c *claimed) bool { return c.until.Add(late).Before(now) })
		if d.stats.Expired = before; id != d.self {
			d.stats.Expired += uint64(removed)
		}
	}
	for k := range d.kept {
		if d.kept[k].until.Before(now) {
			delete(d.kept, k)
		}
	}
}

// due returns the keys whose claim we have to sign again, in order. Others judge
// its age by the wall clock, so a clock that was set back or an engine that slept
// makes it due as well.
func (d *Directory) due(now time.Time) []Key {
	var keys []Key
	for k, w := range d.wants {
		age := d.wall(now).Sub(w.signed)
		if !w.lost && (age < 0 || age >= w.refresh) {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, Key.compare)
	return keys
}

// ClockSet says that wall time was set: at the next Tick it is looked whether our claims
// have to be signed again.
func (d *Directory) ClockSet(now time.Time) { d.sweepAt = now }

// settleOf settles every key that a node claims.
func (d *Directory) settleOf(n *node, now time.Time, u *Update) {
	var keys []Key
	for k := range n.keys {
		if d.keys[k].of(n.id).live() {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, Key.compare)
	d.resolveAll(keys, now, u)
}
