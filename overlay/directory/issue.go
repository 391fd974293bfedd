package directory

import (
	"maps"
	"slices"
	"time"

	"evio/wall"
)

// issue signs a claim of ours, keeps it and announces it.
func (d *Directory) issue(k Key, w *want, generation uint64, flags int, now time.Time, u *Update) {
	u.Announce = append(u.Announce, d.sign(Claim{
		Addr: k.Addr, Bits: k.Bits, MAC: w.mac, Generation: generation,
		Withdrawn: flags&flagWithdrawn != 0, Taken: w.taken,
		Released: flags&flagReleased != 0, Disputed: flags&flagDisputed != 0,
	}, now))
	record := d.keys[k].of(d.self).record
	// A signature's last bytes but one are as good as random for the jitter.
	w.signed = d.wall(now)
	w.refresh = refreshAge - refreshAge/10*time.Duration(record[len(record)-3])/256
}

// sign makes the record of a claim or testimony of ours and keeps it.
func (d *Directory) sign(c Claim, now time.Time) []byte {
	c.Owner, c.Sequence, c.Expiry = d.self, d.nextSequence(now), d.wall(now).Add(Lifetime)
	c.Life = d.floor
	signed := c
	if !c.Follows.IsZero() { // it says for how long
		signed.Since = c.signed().Add(-now.Sub(c.Since))
	}
	next := claimed{Claim: c, record: sign(d.priv, d.overlay, signed), until: now.Add(Lifetime)}
	if c.Released {
		next.quarantined = now.Add(quarantine)
	}
	d.put(next, now)
	return next.record
}

// nextSequence returns numbers that rise, even over a restart: at least the time
// in nanoseconds. The first one is the name of this life.
func (d *Directory) nextSequence(now time.Time) uint64 {
	d.sequence = max(d.sequence+1, wall.Nanoseconds(d.wall(now)))
	if d.floor == 0 {
		d.floor = d.sequence
		d.sequence++
	}
	return d.sequence
}

// Own returns the records to send when a session begins: what we claim, what we
// withdrew lately, whom we follow where that is in doubt, and last the withdrawal of all
// from before this process began.
func (d *Directory) Own(now time.Time) [][]byte {
	if d.floor == 0 {
		d.nextSequence(now)
	}
	keys := slices.SortedFunc(maps.Keys(d.mine.keys), Key.compare)
	records := make([][]byte, 0, len(keys)+1)
	for _, k := range keys {
		own := d.keys[k].of(d.self)
		if !own.Follows.IsZero() {
			d.sign(own.Claim, now) // it says for how long
		}
		records = append(records, own.record)
	}
	return append(records, sign(d.priv, d.overlay, Claim{
		Owner: d.self, Sequence: d.floor, Life: d.floor, Expiry: d.wall(now).Add(Lifetime), Withdrawn: true,
	}))
}
