package overlay

import (
	"net/netip"
	"slices"
	"sync"

	"evio/overlay/nodeid"
)

// Entry is one key of the directory with the node that holds it.
type Entry struct {
	Addr  netip.Addr // zero where the entry says no more than where the MAC is
	MAC   MAC
	Node  nodeid.ID
	Taken bool // a container took it by itself, Docker has not handed it out
}

// Change is a key for which a Table answers otherwise than before.
type Change struct {
	Addr          netip.Addr // zero: the change is of where MAC is
	MAC           MAC        // zero for an address
	Before, After Entry      // with a zero Node: nobody
}

// key names what a change is of.
type key struct {
	addr netip.Addr
	mac  MAC
}

// Table is the directory as a node knows it. It is changed in place, so that a record
// costs the same however many others there are. Any goroutine may use it; nil has nothing.
type Table struct {
	mu    sync.RWMutex
	addrs map[netip.Addr]Entry
	macs  map[MAC]macEntry
}

// macEntry is what is known of a MAC address.
type macEntry struct {
	entry Entry        // with a zero Node: nobody holds it
	addrs []netip.Addr // whose holders say that it answers for them
}

// NewTable returns a table of the given entries. One without an address says where a
// MAC is; one with an address counts only if its MAC is at the same node.
func NewTable(entries []Entry) *Table {
	t := &Table{addrs: map[netip.Addr]Entry{}, macs: map[MAC]macEntry{}}
	for _, e := range entries {
		t.set(keyOf(e), e)
	}
	return t
}

func keyOf(e Entry) key {
	if e.Addr.IsValid() {
		return key{addr: e.Addr}
	}
	return key{mac: e.MAC}
}

// Lookup returns who has the address.
func (t *Table) Lookup(a netip.Addr) (Entry, bool) {
	if t == nil {
		return Entry{}, false
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	e := t.answer(a)
	return e, !e.Node.IsZero()
}

// LookupMAC returns where the MAC is.
func (t *Table) LookupMAC(m MAC) (Entry, bool) {
	if t == nil {
		return Entry{}, false
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	e := t.macs[m].entry
	return e, !e.Node.IsZero()
}

// Entries returns all keys that somebody holds, in no order.
func (t *Table) Entries() []Entry {
	if t == nil {
		return nil
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	all := make([]Entry, 0, len(t.addrs)+len(t.macs))
	for _, p := range t.macs {
		if !p.entry.Node.IsZero() {
			all = append(all, p.entry)
		}
	}
	for _, e := range t.addrs {
		all = append(all, e)
	}
	return all
}

// answer returns the entry of an address if its MAC is at the same node.
func (t *Table) answer(a netip.Addr) Entry {
	if e, ok := t.addrs[a]; ok && t.macs[e.MAC].entry.Node == e.Node {
		return e
	}
	return Entry{}
}

// lookup returns what the table answers for a key.
func (t *Table) lookup(k key) Entry {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.lookupLocked(k)
}

func (t *Table) lookupLocked(k key) Entry {
	if k.addr.IsValid() {
		return t.answer(k.addr)
	}
	return t.macs[k.mac].entry
}

// set gives a key its entry, one with a zero Node for nobody's. It returns what the
// table now answers otherwise: with a MAC these are also the addresses that it answers for.
func (t *Table) set(k key, e Entry) []Change {
	t.mu.Lock()
	defer t.mu.Unlock()
	keys := []key{k}
	if !k.addr.IsValid() {
		for _, a := range t.macs[k.mac].addrs {
			keys = append(keys, key{addr: a})
		}
	}
	changes := make([]Change, len(keys))
	for i, k := range keys {
		changes[i] = Change{Addr: k.addr, MAC: k.mac, Before: t.lookupLocked(k)}
	}
	if k.addr.IsValid() {
		t.setAddr(k.addr, e)
	} else {
		p := t.macs[k.mac]
		p.entry = e
		t.keep(k.mac, p)
	}
	for i, k := range keys {
		changes[i].After = t.lookupLocked(k)
	}
	return slices.DeleteFunc(changes, func(c Change) bool { return c.Before == c.After })
}

func (t *Table) setAddr(a netip.Addr, e Entry) {
	before, known := t.addrs[a]
	gone := e.Node.IsZero()
	if known && (gone || before.MAC != e.MAC) {
		p := t.macs[before.MAC]
		p.addrs = slices.DeleteFunc(p.addrs, func(b netip.Addr) bool { return b == a })
		t.keep(before.MAC, p)
		known = false
	}
	if gone {
		delete(t.addrs, a)
		return
	}
	if !known {
		p := t.macs[e.MAC]
		p.addrs = append(p.addrs, a)
		t.keep(e.MAC, p)
	}
	t.addrs[a] = e
}

// keep stores what is known of a MAC, unless that is nothing.
func (t *Table) keep(m MAC, p macEntry) {
	if p.entry.Node.IsZero() && len(p.addrs) == 0 {
		delete(t.macs, m)
		return
	}
	t.macs[m] = p
}
