package directory_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"evio/overlay/directory"
)

var byValue = cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})

func (w *town) keep(i int, addr netip.Addr, m directory.MAC) directory.Update {
	w.t.Helper()
	u, err := w.ms[i].d.Keep(addr, m, w.now)
	if err != nil {
		w.t.Fatal(err)
	}
	return u
}

func (w *town) wantConflicts(i int, want ...directory.Conflict) {
	w.t.Helper()
	if diff := cmp.Diff(want, w.ms[i].d.Conflicts(w.now), byValue, cmpopts.EquateEmpty()); diff != "" {
		w.t.Errorf("conflicts of member %d: %s", i, diff)
	}
}

func TestCheckTakesNothing(t *testing.T) {
	w := newTown(t, 2)
	if err := w.ms[0].d.Check(ip("10.0.0.1"), mac(1), w.now); err != nil {
		t.Error(err)
	}
	if at := w.ms[0].d.NextTick(); !at.IsZero() || len(w.ms[0].d.Own(w.now)) != 1 {
		t.Error("a question has left something")
	}
	w.give(w.claim(0, ip("10.0.0.1"), mac(1)).Announce, 1)
	if err := w.ms[1].d.Check(ip("10.0.0.1"), mac(1), w.now); err == nil || err.Error() != (&directory.ConflictError{
		Key: directory.Key{Addr: ip("10.0.0.1")}, Owner: w.ms[0].id,
	}).Error() {
		t.Errorf("of address and MAC address the address is named: %v", err)
	}
	if err := w.ms[0].d.Check(ip("10.0.0.1"), mac(1), w.now); err != nil {
		t.Errorf("of what is its own: %v", err)
	}
	w.cut(0, 1)
	w.pass(3 * time.Second)
	if err := w.ms[1].d.Check(ip("10.0.0.1"), mac(1), w.now); err != nil {
		t.Errorf("of an owner out of reach: %v", err)
	}
}

func TestKeepTakesWhatIsFree(t *testing.T) {
	w := newTown(t, 3)
	w.everybody(0, w.claim(0, ip("10.0.0.1"), mac(1)).Announce)
	u := w.keep(1, ip("10.0.0.1"), mac(2))
	lost := []directory.Lost{{Key: directory.Key{Addr: ip("10.0.0.1")}, MAC: mac(2), Owner: w.ms[0].id}}
	if diff := cmp.Diff(lost, u.Lost, byValue); diff != "" || len(u.Announce) != 1 {
		t.Errorf("%d records, want that of the MAC address; %s", len(u.Announce), diff)
	}
	w.everybody(1, u.Announce)
	if u := w.keep(1, ip("10.0.0.1"), mac(2)); len(u.Lost)+len(u.Announce) != 0 {
		t.Errorf("the same again: %+v", u)
	}
	w.wantConflicts(1, directory.Conflict{Addr: ip("10.0.0.1"), MAC: mac(2), Owner: w.ms[0].id, Since: w.now})
	w.wantConflicts(0)

	gone := w.ms[0].d.Withdraw(ip("10.0.0.1"), mac(1), w.now).Announce
	w.give(gone, 2)
	r := w.give(gone[:1], 1)
	w.give(gone[1:], 1)
	if diff := cmp.Diff([]directory.Key{{Addr: ip("10.0.0.1")}}, r.Regained, byValue); diff != "" {
		t.Error(diff)
	}
	w.wantHolder("10.0.0.1", 1, 0, 1, 2)
	w.wantConflicts(1)
	if e, _ := w.ms[2].d.Lookup(ip("10.0.0.1")); e.Generation != 2 {
		t.Errorf("generation %d, want 2", e.Generation)
	}
}

// An address cannot be used without its MAC address: a node that lost the one withdraws the
// other, so that the two never stay with different nodes.
func TestAddressGoesWithItsMAC(t *testing.T) {
	w := newTown(t, 3)
	// The MAC address has had more owners at member 1 than the address.
	w.everybody(1, w.claim(1, ip("10.0.0.9"), mac(1)).Announce)
	w.everybody(1, w.ms[1].d.Withdraw(ip("10.0.0.9"), mac(1), w.now).Announce)
	w.cut(0, 1)
	w.cut(0, 2)
	w.pass(time.Second)
	w.ms[0].restart() // and knows nothing of it
	w.now = w.now.Add(time.Second)
	w.claim(0, ip("10.0.0.1"), mac(1))
	w.give(w.claim(1, ip("10.0.0.1"), mac(1)).Announce, 2)
	w.give(w.claim(1, ip("fd00::1"), mac(1)).Announce, 2)
	w.heal(0, 1) // by generation the MAC address is member 1's, by node ID the address member 0's
	w.heal(2, 0)
	w.heal(0, 1)
	w.wantHolder("10.0.0.1", 1, 0, 1, 2)
	w.wantHolder("fd00::1", 1, 0, 1, 2)
	w.wantConflicts(0, directory.Conflict{Addr: ip("10.0.0.1"), MAC: mac(1), Owner: w.ms[1].id, Since: w.now})
	w.wantConflicts(1)

	w.everybody(1, w.ms[1].d.Withdraw(ip("10.0.0.1"), mac(1), w.now).Announce)
	w.wantHolder("10.0.0.1", -1, 0, 1, 2) // the MAC address still answers for another
	w.wantConflicts(0, directory.Conflict{Addr: ip("10.0.0.1"), MAC: mac(1), Owner: w.ms[1].id, Since: w.now})
	w.pass(time.Hour) // the withdrawal of the address is forgotten meanwhile
	w.everybody(1, w.ms[1].d.Withdraw(ip("fd00::1"), mac(1), w.now).Announce)
	w.wantHolder("10.0.0.1", 0, 0, 1, 2)
	w.wantConflicts(0)
}

// Two claim at once, one of them before it has heard of an earlier owner. The other
// one's generation is higher for that alone, and one of the two gives way all the same.
func TestClaimBeforeHistoryIsKnown(t *testing.T) {
	for _, tc := range []struct {
		name string
		meet func(w *town, history [][]byte)
	}{
		{"in a session that has just begun", func(w *town, history [][]byte) {
			w.give(history, 1, 2)
			w.ms[0].restart()
			for i := range w.ms[1:] {
				w.ms[0].d.NodeReachable(w.ms[i+1].id, w.now)
				w.ms[i+1].d.NodeReachable(w.ms[0].id, w.now)
			}
		}},
		{"in an old session", func(w *town, history [][]byte) {
			w.pass(time.Hour / 10)
			w.give(history, 1)
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newTown(t, 3)
			history := w.claim(2, ip("10.0.0.1"), mac(1)).Announce
			history = append(history, w.ms[2].d.Withdraw(ip("10.0.0.1"), mac(1), w.now).Announce...)
			w.now = w.now.Add(time.Second)
			tc.meet(w, history)
			w.now = w.now.Add(time.Second)
			a := w.claim(0, ip("10.0.0.1"), mac(1)).Announce
			b := w.claim(1, ip("10.0.0.1"), mac(1)).Announce
			w.give(a, 1, 2)
			w.give(b, 0, 2)
			w.wantHolder("10.0.0.1", 1, 0, 1, 2)
			w.wantConflicts(0, directory.Conflict{Addr: ip("10.0.0.1"), MAC: mac(1), Owner: w.ms[1].id, Since: w.now})
			w.wantConflicts(1)
			for i, m := range w.ms {
				for _, e := range m.d.Entries() {
					if e.Contested {
						t.Errorf("member %d: two claim %+v", i, e)
					}
				}
			}
		})
	}
}
