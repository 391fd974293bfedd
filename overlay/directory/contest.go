package directory

import (
	"time"

	"evio/internal/backoff"
)

const (
	// patience is how long a claim of ours stands beside another one until one gives way,
	// so that others can say whom they follow.
	patience = 5 * time.Second
	// holdFirst and holdLast bound the pause before a key is claimed, defended or asked for
	// again; it doubles each time, and begins anew after holdLast without.
	holdFirst = time.Second
	holdLast  = 10 * time.Minute
	// testifyPause is how often a node changes its testimony of a key at most.
	testifyPause = 2 * time.Second
)

// assert claims what we want again if it is free, and withdraws our claim if another
// one stays. An address goes with its MAC address: without that it is of use to others
// only.
func (d *Directory) assert(k Key, w *want, p *keyState, now time.Time, u *Update) {
	own := p.of(d.self)
	if w.lost {
		if d.free(k, w, p, now) && d.mayAct(k, w, now) {
			d.stats.Reclaimed++
			w.lost, w.held = false, now
			d.anew(k)
			d.issue(k, w, p.nextGeneration(), 0, now, u)
			if d.stands(k) {
				u.Regained = append(u.Regained, k)
			}
		}
		return
	}
	if own == nil || !own.live() {
		return
	}
	if d.useless(k, w) || !d.allowed(k) {
		d.giveUp(k, w, p, now, u)
		return
	}
	for _, rival := range d.rivals(k, p, d.self) {
		if !d.counts(d.keys[rival.Key()], rival, now) {
			continue
		}
		if d.yields(k, w, p, rival, now, u) {
			d.giveUp(k, w, p, now, u)
			return
		}
	}
}

// anew forgets what stood against an earlier claim of ours, which says nothing of the next.
func (d *Directory) anew(k Key) {
	for _, o := range append(d.overlapping(k), k) {
		p := d.keys[o]
		if p == nil {
			continue
		}
		for i := range p.claims {
			p.claims[i].disputed, p.claims[i].told = time.Time{}, false
		}
	}
}

// free reports whether nothing keeps us from a key.
func (d *Directory) free(k Key, w *want, p *keyState, now time.Time) bool {
	return !d.useless(k, w) && d.allowed(k) && d.rival(k, p, !w.taken, now) == nil
}

// allowed reports whether a key may be ours, whoever else claims it.
func (d *Directory) allowed(k Key) bool {
	if k.isMAC() {
		return true
	}
	owner, reserved := d.reservedTo(k)
	return (!reserved || owner == d.self) && (reserved || k.Bits > 0 || !d.gatewayOfAnother(k.Addr, d.self))
}

// mayAct reports whether a key is not held down, and counts what is done then. Otherwise
// the key is resolved again when its time has come.
func (d *Directory) mayAct(k Key, w *want, now time.Time) bool {
	if now.Before(w.hold) {
		d.remind(k, w.hold)
		return false
	}
	if now.Sub(w.hold) >= holdLast {
		w.strikes = 0
	}
	w.hold = now.Add(backoff.Exponential{First: holdFirst, Last: holdLast}.Pause(w.strikes))
	w.strikes++
	return true
}

// yields reports whether our claim gives way to one that counts. Ours stays if Docker
// handed it out by our range, or if it was followed before the other one. Only if nobody
// has followed either, or that is not sure, or ours is young, generation and node ID decide.
func (d *Directory) yields(k Key, w *want, p *keyState, rival *claimed, now time.Time, u *Update) bool {
	own := p.of(d.self)
	q := d.keys[rival.Key()]
	if x, y := d.byRange(k, own.Claim), d.byRange(k, rival.Claim); x != y {
		return y
	}
	switch {
	case !rival.held.IsZero() && rival.held.Before(w.held):
		return true // we followed it before we claimed
	case now.Sub(w.held) < settling:
		return rival.outranks(own.Claim)
	case rival.disputed.IsZero():
		if d.mayAct(k, w, now) {
			rival.disputed, rival.told = now, d.told(rival, w, now)
			d.remind(k, now.Add(patience))
			d.issue(k, w, own.Generation, flagDisputed, now, u)
		}
		return false
	case now.Sub(rival.disputed) < patience:
		d.remind(k, rival.disputed.Add(patience)) // again: one of an earlier dispute may have come instead
		return false
	}
	first, other := d.followed(p, own, now), d.followed(q, rival, now)
	switch {
	case rival.told && before(w.held, first, false):
		first = w.held
	case first.Sub(other).Abs() < patience:
		first = other // a testimony becomes younger on its way, which is another one to each of us
	}
	if !before(first, other, own.outranks(rival.Claim)) {
		return true
	}
	d.stats.Refused++
	// By now it knows, and so do we what others follow: that took its time as well.
	rival.told = rival.told || now.Sub(rival.disputed) >= settling
	if rival.outranks(own.Claim) && rival.Generation < maxGeneration && d.mayAct(k, w, now) {
		d.issue(k, w, rival.Generation+1, flagDisputed, now, u) // for those who know neither of the two
	}
	return false
}

// told reports whether the owner of a claim that has come up must have known ours: it was
// in a session with us when we had held the key for a minute, and neither has been out of
// reach for half an hour, nor have we begun anew, since.
func (d *Directory) told(rival *claimed, w *want, now time.Time) bool {
	n := d.nodes[rival.Owner]
	if n.reachable && now.Sub(n.session) >= settling {
		return true
	}
	if n.met.Sub(w.held) < settling || n.gap >= memory {
		return false
	}
	return !w.kept || n.epoch > 1 || n.gap < grace
}

// giveUp withdraws a claim of ours that gives way.
func (d *Directory) giveUp(k Key, w *want, p *keyState, now time.Time, u *Update) {
	generation := p.of(d.self).Generation
	d.lose(k, w, now, u)
	d.issue(k, w, generation, flagWithdrawn, now, u)
}

// lose notes that another node has what we want.
func (d *Directory) lose(k Key, w *want, now time.Time, u *Update) {
	d.stats.Lost++
	w.lost, w.since, w.kept = true, now, false
	if d.stands(k) {
		u.Lost = append(u.Lost, Lost{Key: k, MAC: w.mac, Owner: d.winner(k, w, now), Taken: w.taken})
	}
}

// testify tells the others whom we follow, if they may not agree, and when that is not what
// we told them before.
func (d *Directory) testify(k Key, p *keyState, now time.Time, u *Update) {
	h, own := p.of(p.holder), p.of(d.self)
	if h == nil || h.Owner == d.self || h.held.IsZero() || own != nil && own.live() {
		return
	}
	if own != nil && !own.Follows.IsZero() {
		age := d.wall(now).Sub(own.signed())
		switch told := own.Follows == h.Owner && own.Since.Equal(h.held); {
		case told && (age >= 0 && age < refreshAge || !d.doubted(p, now)):
			return
		case age >= 0 && age < testifyPause:
			d.remind(k, now.Add(testifyPause-age))
			return
		}
	} else if !d.doubted(p, now) {
		return
	}
	c := Claim{Addr: k.Addr, Bits: k.Bits, MAC: k.MAC, Follows: h.Owner, Since: h.held}
	u.Announce = append(u.Announce, d.sign(c, now))
}

// doubted reports whether others may hold another node for the holder of a key.
func (d *Directory) doubted(p *keyState, now time.Time) bool {
	for i := range p.claims {
		switch c := &p.claims[i]; {
		case c.Owner == d.self || d.away(c.Owner, now):
		case c.Owner == p.holder && c.Disputed, c.Owner != p.holder && c.live(),
			!c.Follows.IsZero() && c.Follows != p.holder:
			return true
		}
	}
	return false
}
