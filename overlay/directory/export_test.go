package directory

import (
	"net/netip"
	"time"

	"evio/overlay/nodeid"
)

// Sign lets tests sign what no Directory would.
var Sign = sign

// RangeHolder returns the node in whose range an address lies.
func (d *Directory) RangeHolder(addr netip.Addr) nodeid.ID { return d.rangeHolder(addr) }

// Forgotten reports whether a dispute about a key of ours ends and nothing looks at it then.
func (d *Directory) Forgotten(now time.Time) bool {
	for k, w := range d.wants {
		p := d.keys[k]
		if own := p.of(d.self); w.lost || own == nil || !own.live() || now.Sub(w.held) < settling {
			continue
		}
		for _, rival := range d.rivals(k, p, d.self) {
			end := rival.disputed.Add(patience)
			if !rival.disputed.IsZero() && end.After(now) && d.counts(d.keys[rival.Key()], rival, now) && (p.due.IsZero() || p.due.After(end)) {
				return true
			}
		}
	}
	return false
}
