package directory

import (
	"slices"
	"time"

	"evio/overlay/nodeid"
)

// resolve applies the rules to a key about which something has changed: we claim again what is
// free, give way to whom we must, follow the holder, and testify whom we follow if that
// is in doubt.
func (d *Directory) resolve(k Key, now time.Time, u *Update) {
	p, w := d.keys[k], d.wants[k]
	if p == nil && w == nil {
		return
	}
	p = d.state(k, now)
	before, lost := p.holder, w != nil && w.lost
	if w != nil {
		d.assert(k, w, p, now, u)
	}
	d.choose(k, p, now)
	d.testify(k, p, now, u)

	e, _ := d.entry(k)
	if e.Node != p.told.Node || e.MAC != p.told.MAC || e.Taken != p.told.Taken {
		if k.Bits == 0 {
			u.Changes = append(u.Changes, Change{Key: k, Before: p.told, After: e})
		}
		p.told = e
	}
	if len(p.claims) == 0 && p.due.IsZero() {
		d.discard(k)
	}
	if p.holder != before {
		d.spread(k, before, p.holder, now, u)
	}
	if k.isMAC() && w != nil && w.lost != lost {
		d.resolveAll(d.byMAC[k.MAC], now, u)
	}
}

// resolveAll settles some keys; the list may change meanwhile.
func (d *Directory) resolveAll(keys []Key, now time.Time, u *Update) {
	for _, k := range slices.Clone(keys) {
		d.resolve(k, now, u)
	}
}

// spread settles what depends on a key that has changed hands: the addresses of a MAC
// address, and what overlaps a range or is contested in it.
func (d *Directory) spread(k Key, before, after nodeid.ID, now time.Time, u *Update) {
	switch {
	case k.isMAC():
		for _, id := range []nodeid.ID{before, after} {
			if n := d.of(id); n != nil {
				d.resolveAll(n.addrs[k.MAC], now, u)
			}
		}
	case k.Bits > 0:
		d.resolveAll(d.overlapping(k), now, u)
		var inside []Key
		if !after.IsZero() {
			inside = d.dropGateways(k.prefix(), after)
		}
		for o := range d.contested {
			if k.prefix().Contains(o.Addr) {
				inside = append(inside, o)
			}
		}
		slices.SortFunc(inside, Key.compare)
		d.resolveAll(slices.Compact(inside), now, u)
	}
}

// choose decides whom we follow: ourselves if we claim the key; otherwise the best claim of a
// node in reach; otherwise whom we followed.
func (d *Directory) choose(k Key, p *keyState, now time.Time) {
	d.contest(k, p)
	if own := p.of(d.self); own != nil && d.entitled(k, own.Claim) {
		p.leave(d.self, now)
		p.holder = d.self
		return
	}
	var best, present *claimed
	for i := range p.claims {
		c := &p.claims[i]
		if c.Owner == d.self || !d.entitled(k, c.Claim) || d.blocked(k, p, c, now) {
			continue
		}
		if c.Owner == p.holder {
			present = c
		}
		if best == nil || d.better(k, p, c, k, p, best, now) {
			best = c
		}
	}
	switch {
	case best != nil && d.counts(p, best, now):
		p.leave(best.Owner, now)
		d.follow(p, best, now)
		p.holder = best.Owner
	case present == nil:
		p.leave(nodeid.ID{}, now)
		p.holder = nodeid.ID{}
	}
}

// leave prepares to follow another node: a node that had not held a key for a minute does not get
// it back.
func (p *keyState) leave(next nodeid.ID, now time.Time) {
	if c := p.of(p.holder); c != nil && c.Owner != next && now.Sub(c.held) < settling {
		c.held = time.Time{}
	}
}

// follow notes since when we follow a claim. What was preferred to it before only because
// we had heard of that first, which others who know better have told us, is not any more.
func (d *Directory) follow(p *keyState, best *claimed, now time.Time) {
	for i := range p.claims {
		c := &p.claims[i]
		if c != best && c.live() && !c.held.IsZero() && d.counts(p, c, now) && (best.held.IsZero() || c.held.Before(best.held)) {
			c.held = time.Time{}
		}
	}
	if best.held.IsZero() {
		best.held = now.Add(-time.Duration(now.Nanosecond()) % time.Millisecond)
	}
}

// contest notes whether more than one node claims an address.
func (d *Directory) contest(k Key, p *keyState) {
	if !k.isAddr() {
		return
	}
	live := 0
	for i := range p.claims {
		if p.claims[i].live() {
			live++
		}
	}
	if live > 1 {
		d.contested[k] = struct{}{}
	} else {
		delete(d.contested, k)
	}
}

// counts reports whether the owner of a claim is in reach for it. One that was out of
// reach, and that we do not follow, must say it again first: it may have begun anew.
func (d *Directory) counts(p *keyState, c *claimed, now time.Time) bool {
	if c.Owner == d.self {
		return true
	}
	n := d.nodes[c.Owner]
	return !d.away(c.Owner, now) && (c.epoch == n.epoch || p.holder == c.Owner)
}

// better reports whether a claim comes before another one that stands against it: of a
// node in reach, of what Docker handed out by its range, the one that was followed
// first, then by generation and node ID.
func (d *Directory) better(ka Key, pa *keyState, a *claimed, kb Key, pb *keyState, b *claimed, now time.Time) bool {
	if x, y := d.counts(pa, a, now), d.counts(pb, b, now); x != y {
		return x
	}
	if x, y := d.byRange(ka, a.Claim), d.byRange(kb, b.Claim); x != y {
		return x
	}
	return before(d.followed(pa, a, now), d.followed(pb, b, now), a.outranks(b.Claim))
}

// before reports whether the first of two times, where zero means never, is the
// earlier one; otherwise it returns what else decides.
func before(a, b time.Time, otherwise bool) bool {
	switch {
	case a.Equal(b):
		return otherwise
	case a.IsZero() || b.IsZero():
		return b.IsZero()
	}
	return a.Before(b)
}

// followed returns since when a claim has been followed by anybody but its owner, as far
// as we know; zero: by nobody.
func (d *Directory) followed(p *keyState, c *claimed, now time.Time) time.Time {
	first := c.held
	for i := range p.claims {
		t := &p.claims[i]
		if t.Follows == c.Owner && t.Owner != d.self && !d.away(t.Owner, now) && before(t.Since, first, false) {
			first = t.Since
		}
	}
	return first
}

// blocked reports whether a claim of a range must wait for another range that overlaps it.
func (d *Directory) blocked(k Key, p *keyState, c *claimed, now time.Time) bool {
	for _, o := range d.overlapping(k) {
		q := d.keys[o]
		if q == nil {
			continue
		}
		h := q.of(q.holder)
		if h == nil || h.Owner == c.Owner {
			continue
		}
		if h.Owner == d.self || d.counts(q, h, now) && !d.better(k, p, c, o, q, h, now) {
			return true
		}
	}
	return false
}

// rival returns the best claim that keeps us from a key; nil for none.
func (d *Directory) rival(k Key, p *keyState, given bool, now time.Time) *Claim {
	byRange := given && k.isAddr() && d.rangeHolder(k.Addr) == d.self
	var best *claimed
	for _, c := range d.rivals(k, p, d.self) {
		if !d.counts(p, c, now) || byRange && !d.byRange(k, c.Claim) {
			continue
		}
		if best == nil || p.holder == c.Owner || p.holder != best.Owner && c.outranks(best.Claim) {
			best = c
		}
	}
	if best == nil {
		return nil
	}
	return &best.Claim
}

// nextGeneration returns the generation of a claim that follows all known ones.
func (p *keyState) nextGeneration() uint64 {
	var highest uint64
	for _, c := range p.claims {
		highest = max(highest, c.Generation)
	}
	return min(highest+1, maxGeneration)
}
