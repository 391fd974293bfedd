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
	Name  string // what people call the owner; empty: its node ID is said
}

func (e *ConflictError) Error() string {
	name := e.Name
	if name == "" {
		name = "node " + e.Owner.String()
	}
	return fmt.Sprintf("%v belongs to %s: choose another one, or remove the container that has it there", e.Key, name)
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

// stands reports whether people are told of a key by itself: an address, or a MAC
// address that no address of ours goes with.
func (d *Directory) stands(k Key) bool { return k.Addr.IsValid() || len(d.addressesOf(k.MAC)) == 0 }

// addressesOf returns the addresses that we want with a MAC address, in order.
func (d *Directory) addressesOf(mac MAC) []Key {
	var keys []Key
	for k, w := range d.wants {
		if k.Addr.IsValid() && w.mac == mac {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, Key.compare)
	return keys
}

// winner returns who keeps us from a key, or from the MAC address that it needs; the
// zero ID for nobody.
func (d *Directory) winner(k Key, w *want, now time.Time) nodeid.ID {
	for _, k := range []Key{k, {MAC: w.mac}} {
		if p := d.places[k]; p != nil {
			if rival := d.rival(p, now); rival != nil {
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
	return k.Addr.IsValid() && m != nil && m.lost
}
