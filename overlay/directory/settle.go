package directory

import (
	"time"

	"evio/overlay/nodeid"
)

// settle applies the ownership rule to a key of which something has changed: we
// claim again what is free, give way to whom we must, and follow the holder.
func (d *Directory) settle(k Key, now time.Time, u *Update) {
	p, w := d.places[k], d.wants[k]
	if p == nil && w == nil {
		return
	}
	p = d.place(k, now)
	if w != nil {
		before := w.lost
		d.assert(k, w, p, now, u)
		if !k.Addr.IsValid() && w.lost != before {
			for _, addr := range d.addressesOf(k.MAC) {
				d.settle(addr, now, u)
			}
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

// assert claims what we want again if it is free, and withdraws our claim if another
// one stays. An address goes with its MAC address: without that it is of use to others
// only.
func (d *Directory) assert(k Key, w *want, p *place, now time.Time, u *Update) {
	rival, useless := d.rival(p, now), d.useless(k, w)
	own := p.of(d.self)
	switch {
	case w.lost && rival == nil && !useless:
		d.stats.Reclaimed++
		w.lost, w.claimed = false, now
		u.Announce = append(u.Announce, d.issue(k, w.mac, p.nextGeneration(), false, now))
		if d.stands(k) {
			u.Regained = append(u.Regained, k)
		}
	case w.lost, own == nil || own.Withdrawn:
	case useless:
		d.giveUp(k, w, own, now, u)
	case rival != nil && rival.outranks(own.Claim):
		if !d.excused(rival.Owner, w, now) {
			d.stats.Refused++
			break
		}
		d.giveUp(k, w, own, now, u)
	}
}

// giveUp withdraws a claim of ours that gives way.
func (d *Directory) giveUp(k Key, w *want, own *claimed, now time.Time, u *Update) {
	generation := own.Generation
	d.lose(k, w, now, u)
	u.Announce = append(u.Announce, d.issue(k, w.mac, generation, true, now))
}

// lose notes that another node has what we want.
func (d *Directory) lose(k Key, w *want, now time.Time, u *Update) {
	d.stats.Lost++
	w.lost, w.since = true, now
	if d.stands(k) {
		u.Lost = append(u.Lost, Lost{Key: k, MAC: w.mac, Owner: d.winner(k, w, now)})
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
// without knowing ours, or without reaching us: only then we give way. Its generation
// does not tell: it is higher than ours also if we claimed before we heard of earlier
// owners that it knows.
func (d *Directory) excused(rival nodeid.ID, w *want, now time.Time) bool {
	began := d.nodes[rival].session
	return began.IsZero() || now.Sub(began) < settling || now.Sub(w.claimed) < settling
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
