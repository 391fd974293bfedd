package overlay

import (
	"net/netip"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"evio/overlay/nodeid"
)

// keyGen draws from few keys, so that they meet.
func keyGen() *rapid.Generator[key] {
	return rapid.Custom(func(t *rapid.T) key {
		n := byte(rapid.IntRange(1, 4).Draw(t, "number"))
		if rapid.Bool().Draw(t, "of an address") {
			return key{addr: netip.AddrFrom4([4]byte{10, 0, 0, n})}
		}
		return key{mac: hw(n)}
	})
}

// A table that is changed in place gives what one made anew would, and its changes tell
// all that it answers otherwise, and nothing else.
func TestTableFollowsChanges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		held := map[key]Entry{}
		table := NewTable(nil)
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			k := keyGen().Draw(t, "key")
			e := Entry{Addr: k.addr, MAC: k.mac, Node: nodeid.ID{byte(rapid.IntRange(0, 3).Draw(t, "node"))}, Taken: rapid.Bool().Draw(t, "taken")}
			if k.addr.IsValid() {
				e.MAC = hw(byte(rapid.IntRange(1, 4).Draw(t, "MAC")))
			}
			if held[k] = e; e.Node.IsZero() {
				delete(held, k)
				e = Entry{}
			}
			before := answers(table)
			changes := table.set(k, e)
			var all []Entry
			for _, e := range held {
				all = append(all, e)
			}
			fresh := NewTable(all)
			after := answers(fresh)
			told := map[key]Entry{}
			for _, c := range changes {
				k := key{addr: c.Addr, mac: c.MAC}
				if c.Before != before[k] || c.Before == c.After {
					t.Fatalf("%v: changed from %v to %v, which was %v", k, c.Before, c.After, before[k])
				}
				told[k] = c.After
			}
			for k, e := range after {
				if table.lookup(k) != e {
					t.Fatalf("%v: %v, want %v", k, table.lookup(k), e)
				}
				if _, changed := told[k]; changed != (e != before[k]) {
					t.Fatalf("%v: from %v to %v, told %v", k, before[k], e, changed)
				}
			}
			if len(table.Entries()) != len(all) {
				t.Fatalf("%d entries, want %d", len(table.Entries()), len(all))
			}
		}
		for _, e := range table.Entries() {
			table.set(keyOf(e), Entry{})
		}
		if len(table.addrs)+len(table.macs) != 0 {
			t.Fatalf("an empty table keeps %v and %v", table.addrs, table.macs)
		}
	})
}

// answers returns what a table gives for every key that tests use.
func answers(t *Table) map[key]Entry {
	all := map[key]Entry{}
	for n := range byte(4) {
		for _, k := range []key{{addr: netip.AddrFrom4([4]byte{10, 0, 0, n + 1})}, {mac: hw(n + 1)}} {
			all[k] = t.lookup(k)
		}
	}
	return all
}

func TestTableOfNobody(t *testing.T) {
	var none *Table
	_, byAddr := none.Lookup(netip.MustParseAddr("10.0.0.1"))
	_, byMAC := none.LookupMAC(hw(1))
	if byAddr || byMAC || len(none.Entries()) != 0 {
		t.Error("a table that is not there answers")
	}
}

// Lookups and changes may meet.
func TestTableIsSafeForAll(t *testing.T) {
	table, a := NewTable(nil), netip.MustParseAddr("10.0.0.1")
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for range 1000 {
				if e, ok := table.Lookup(a); ok && e.MAC != hw(1) {
					t.Errorf("never was: %v", e)
				}
				table.LookupMAC(hw(1))
				_ = table.Entries()
			}
		})
	}
	for i := range 1000 {
		table.set(key{mac: hw(1)}, Entry{MAC: hw(1), Node: nodeid.ID{byte(i%2 + 1)}})
		table.set(key{addr: a}, Entry{Addr: a, MAC: hw(1), Node: nodeid.ID{1}})
	}
	readers.Wait()
}
