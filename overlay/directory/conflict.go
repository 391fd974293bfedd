package directory

import (
	"bytes"
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"evio/overlay/nodeid"
)

// ConflictError says that a key is another node's.
type ConflictError struct {
	Key   Key
	Owner nodeid.ID
	Given bool // the owner's Docker has handed it out
	// Reserved: the operator has bound it to the owner.
	Reserved bool
	Name     string // what people call the owner; empty: its node ID is said
}

func (e *ConflictError) Error() string {
	name := e.Name
	if name == "" {
		name = "node " + e.Owner.String()
	}
	if e.Reserved {
		return fmt.Sprintf("%v is kept for %s by the setting claims of this engine: choose another one", e.Key, name)
	}
	return fmt.Sprintf("%v belongs to %s: choose another one, or remove the container that has it there", e.Key, name)
}

// conflict returns the error for what another node holds.
func (d *Directory) conflict(k Key, owner nodeid.ID) *ConflictError {
	c := d.keys[k].of(owner)
	return &ConflictError{Key: k, Owner: owner, Given: c != nil && c.live() && !c.Taken}
}

// against returns what keeps another node from a key that it claims, nil for nothing that
// somebody holds.
func (d *Directory) against(k Key, p *keyState, c Claim) *ConflictError {
	if owner, ok := d.reservedTo(k); ok && owner != c.Owner {
		return &ConflictError{Key: k, Owner: owner, Reserved: true}
	}
	if !p.holder.IsZero() {
		return d.conflict(k, p.holder)
	}
	keys := d.overlapping(k)
	if k.isAddr() {
		keys = []Key{{MAC: c.MAC}}
	}
	for _, o := range keys {
		if q := d.keys[o]; q != nil && !q.holder.IsZero() && q.holder != c.Owner {
			return d.conflict(o, q.holder)
		}
	}
	return nil
}

// Conflict is an address of ours, or without one a MAC address, that another node
// holds at present.
type Conflict struct {
	Addr  netip.Addr
	MAC   MAC
	Owner nodeid.ID // zero: its owner is leaving, we claim again soon
	Since time.Time
}

// Conflicts returns what another node holds of what we want, in order. A MAC address
// stands there by its addresses.
func (d *Directory) Conflicts(now time.Time) []Conflict {
	var all []Conflict
	for k, w := range d.wants {
		if w.lost && d.stands(k) {
			all = append(all, Conflict{Addr: k.Addr, MAC: w.mac, Owner: d.winner(k, w, now), Since: w.since})
		}
	}
	slices.SortFunc(all, func(a, b Conflict) int {
		return cmp.Or(a.Addr.Compare(b.Addr), bytes.Compare(a.MAC[:], b.MAC[:]))
	})
	return all
}

// stands reports whether a key is shown to people by itself: an address is, and a MAC
// address that no address of ours goes with. Ranges are shown with their sites.
func (d *Directory) stands(k Key) bool { return k.isAddr() || k.isMAC() && len(d.byMAC[k.MAC]) == 0 }

// winner returns who keeps us from a key, or from the MAC address that it needs; the
// zero ID for nobody.
func (d *Directory) winner(k Key, w *want, now time.Time) nodeid.ID {
	for _, k := range []Key{k, {MAC: w.mac}} {
		if p := d.keys[k]; p != nil {
			if rival := d.rival(k, p, !w.taken, now); rival != nil {
				return rival.Owner
			}
		}
	}
	return nodeid.ID{}
}

// useless reports whether an address would not be answered if we held it, because the
// MAC address that it needs is another node's.
func (d *Directory) useless(k Key, w *want) bool {
	m := d.wants[Key{MAC: w.mac}]
	return k.isAddr() && m != nil && m.lost
}
