package directory

import (
	"time"

	"evio/overlay/nodeid"
)

// settle applies the ownership rule to a key of which something has changed: we
// claim again what is free, give way to whom we must, and follow the holder.
func (d *Directory) settle(k Key, now time.Time, u *Update) {
	p := d.places[k]
	if p == nil {
		return
	}
	if w := d.wants[k]; w != nil {
		rival := d.rival(p, now)
		switch {
		case w.lost && rival == nil:
			d.stats.Reclaimed++
			w.lost, w.claimed = false, now
			u.Announce = append(u.Announce, d.issue(k, w.mac, p.nextGeneration(), false, now))
		case !w.lost && rival != nil && rival.outranks(p.of(d.self).Claim):
			if !d.excused(*rival, p.of(d.self).Claim, w, now) {
				d.stats.Refused++
				break
			}
			d.stats.Lost++
			w.lost = true
			u.Lost = append(u.Lost, Lost{Key: k, Owner: rival.Owner})
			u.Announce = append(u.Announce, d.issue(k, w.mac, p.of(d.self).Generation, true, now))
		}
	}
	p.holder = d.choose(p, now)

	e, _ := d.entry(k)
	if e.Node != p.told.Node || e.MAC != p.told.MAC {
		u.Changes = append(u.Changes, Change{Key: k, Before: p.told, After: e})
		p.told = e
	}
	if len(p.claims) == 0 {
		delete(d.places, k)
	}
}

// choose returns who holds a key: the present holder as long as it claims and can
// be reached; else the best claim, of nodes in reach if there is one.
func (d *Directory) choose(p *place, now time.Time) nodeid.ID {
	var best, present *claimed
	for i := range p.claims {
		c := &p.claims[i]
		if c.Withdrawn {
			continue
		}
		if c.Owner == p.holder {
			present = c
		}
		if best == nil || d.better(c, best, now) {
			best = c
		}
	}
	switch {
	case best == nil:
		return nodeid.ID{}
	case present != nil && (!d.away(present.Owner, now) || d.away(best.Owner, now)):
		return present.Owner
	}
	return best.Owner
}

func (d *Directory) better(a, b *claimed, now time.Time) bool {
	if x, y := d.away(a.Owner, now), d.away(b.Owner, now); x != y {
		return y
	}
	return a.outranks(b.Claim)
}

// rival returns the best claim of a node in reach, other than ours; nil for none.
func (d *Directory) rival(p *place, now time.Time) *Claim {
	var best *Claim
	for i := range p.claims {
		c := &p.claims[i].Claim
		if c.Owner == d.self || c.Withdrawn || d.away(c.Owner, now) {
			continue
		}
		if best == nil || c.outranks(*best) {
			best = c
		}
	}
	return best
}

// excused reports whether the owner of a claim that outranks ours may have made it
// without knowing ours, or without reaching us: only then we give way.
func (d *Directory) excused(rival, own Claim, w *want, now time.Time) bool {
	n := d.nodes[rival.Owner]
	began := n.session
	return began.IsZero() ||
		!began.Before(w.claimed) && now.Sub(began) < settling ||
		rival.Generation == own.Generation && now.Sub(w.claimed) < settling
}

// away reports whether a node has been out of reach for so long that its keys may
// be taken.
func (d *Directory) away(id nodeid.ID, now time.Time) bool {
	n := d.nodes[id]
	return id != d.self && n != nil && !n.reachable && now.Sub(n.since) >= grace
}

// nextGeneration returns the generation of a claim that follows all known ones.
func (p *place) nextGeneration() uint64 {
	var highest uint64
	for _, c := range p.claims {
		highest = max(highest, c.Generation)
	}
	return min(highest+1, maxGeneration)
}
