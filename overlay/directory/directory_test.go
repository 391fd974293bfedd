package directory_test

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"evio/overlay/directory"
)

func TestClaimLookupWithdraw(t *testing.T) {
	w := newTown(t, 2)
	u := w.claim(0, ip("10.0.0.5"), mac(5))
	if len(u.Announce) != 2 {
		t.Fatalf("%d records, want one of the MAC address and one of the address", len(u.Announce))
	}
	u6 := w.claim(0, ip("fd00::5"), mac(5))
	if len(u6.Announce) != 1 {
		t.Fatalf("%d records for a second address", len(u6.Announce))
	}
	w.give(u.Announce, 1)
	r := w.give(u6.Announce, 1)
	if len(r.Changes) != 1 || r.Changes[0].After.Node != w.ms[0].id || !r.Changes[0].Before.Node.IsZero() {
		t.Errorf("changes %+v", r.Changes)
	}
	if u := w.claim(0, ip("10.0.0.5"), mac(5)); len(u.Announce) != 0 {
		t.Error("claimed again what is ours")
	}

	for i, m := range w.ms {
		e, ok := m.d.Lookup(ip("::ffff:10.0.0.5"))
		want := directory.Entry{Addr: ip("10.0.0.5"), MAC: mac(5), Node: w.ms[0].id, Generation: 1, Expiry: epoch.Add(directory.Lifetime)}
		if diff := cmp.Diff(want, e, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); !ok || diff != "" {
			t.Errorf("member %d: %v %s", i, ok, diff)
		}
		if e, ok := m.d.LookupMAC(mac(5)); !ok || e.Node != w.ms[0].id {
			t.Errorf("member %d: MAC address at %v, %v", i, e.Node, ok)
		}
		if got := m.d.MACsOf(w.ms[0].id); !cmp.Equal(got, []directory.MAC{mac(5)}) {
			t.Errorf("member %d: MAC addresses %v", i, got)
		}
		if got := len(m.d.Entries()); got != 3 {
			t.Errorf("member %d: %d entries, want 3", i, got)
		}
	}

	w.give(w.ms[0].d.Withdraw(ip("10.0.0.5"), mac(5), w.now).Announce, 1)
	w.wantHolder("10.0.0.5", -1, 0, 1)
	w.wantHolder("fd00::5", 0, 0, 1)
	w.give(w.ms[0].d.Withdraw(ip("fd00::5"), mac(5), w.now).Announce, 1)
	for i, m := range w.ms {
		if got := m.d.Entries(); len(got) != 0 {
			t.Errorf("member %d keeps %v", i, got)
		}
	}
	if u := w.ms[0].d.Withdraw(ip("10.0.0.5"), mac(5), w.now); len(u.Announce) != 0 {
		t.Error("withdrew what was not claimed")
	}
}

func TestMACWithoutAddress(t *testing.T) {
	w := newTown(t, 2)
	w.give(w.claim(0, none, mac(1)).Announce, 1)
	w.give(w.claim(0, ip("10.0.0.1"), mac(1)).Announce, 1)
	w.give(w.ms[0].d.Withdraw(ip("10.0.0.1"), mac(1), w.now).Announce, 1)
	if _, ok := w.ms[1].d.LookupMAC(mac(1)); !ok {
		t.Error("a MAC address claimed for itself went with its address")
	}
	w.give(w.ms[0].d.Withdraw(none, mac(1), w.now).Announce, 1)
	if _, ok := w.ms[1].d.LookupMAC(mac(1)); ok {
		t.Error("MAC address is still there")
	}
}

func TestAddressMovesToAnotherMAC(t *testing.T) {
	w := newTown(t, 2)
	w.give(w.claim(0, ip("10.0.0.1"), mac(1)).Announce, 1)
	w.pass(time.Second)
	w.give(w.claim(0, ip("10.0.0.1"), mac(2)).Announce, 1)
	for i, m := range w.ms {
		if e, ok := m.d.Lookup(ip("10.0.0.1")); !ok || e.MAC != mac(2) {
			t.Errorf("member %d: %v, %v", i, e, ok)
		}
		if got := m.d.MACsOf(w.ms[0].id); !cmp.Equal(got, []directory.MAC{mac(2)}) {
			t.Errorf("member %d: %v", i, got)
		}
	}
}

func TestConflictNamesOwner(t *testing.T) {
	w := newTown(t, 2)
	w.give(w.claim(0, ip("10.0.0.1"), mac(1)).Announce, 1)
	for _, tt := range []struct {
		addr netip.Addr
		mac  directory.MAC
		key  directory.Key
	}{
		{ip("10.0.0.1"), mac(2), directory.Key{Addr: ip("10.0.0.1")}},
		{ip("10.0.0.2"), mac(1), directory.Key{MAC: mac(1)}},
		{none, mac(1), directory.Key{MAC: mac(1)}},
	} {
		_, err := w.ms[1].d.Claim(tt.addr, tt.mac, w.now)
		var conflict *directory.ConflictError
		if !errors.As(err, &conflict) || conflict.Owner != w.ms[0].id || conflict.Key != tt.key {
			t.Errorf("%v: %v", tt.key, err)
		} else if !strings.Contains(err.Error(), w.ms[0].id.String()) {
			t.Errorf("%q does not name the owner", err)
		}
	}
	if got := w.ms[1].d.Entries(); len(got) != 2 {
		t.Errorf("a refused claim left something: %v", got)
	}
}

func TestClaimRefuses(t *testing.T) {
	w := newTown(t, 1)
	for name, c := range map[string]directory.Key{
		"outside":          {Addr: ip("10.0.1.1"), MAC: mac(1)},
		"multicast":        {Addr: ip("ff02::1"), MAC: mac(1)},
		"unspecified":      {Addr: ip("0.0.0.0"), MAC: mac(1)},
		"group MAC":        {Addr: ip("10.0.0.1"), MAC: directory.MAC{1}},
		"no MAC":           {Addr: ip("10.0.0.1")},
		"nothing":          {},
		"address of scope": {Addr: ip("fd00::1%eth0"), MAC: mac(1)},
	} {
		if _, err := w.ms[0].d.Claim(c.Addr, c.MAC, w.now); err == nil {
			t.Errorf("%s: claimed", name)
		}
	}
	if at := w.ms[0].d.NextTick(); !at.IsZero() {
		t.Errorf("an empty directory wants a tick at %v", at)
	}
}

func TestLimitPerNode(t *testing.T) {
	w := newTown(t, 2)
	var records [][]byte
	for i := range directory.MaxClaims {
		records = append(records, w.claim(0, none, directory.MAC{2, 0, 0, 0, byte(i >> 8), byte(i)}).Announce...)
	}
	if _, err := w.ms[0].d.Claim(none, directory.MAC{6}, w.now); !errors.Is(err, directory.ErrFull) {
		t.Errorf("own claim beyond the limit: %v", err)
	}
	w.give(records, 1)
	// The same engine, with no memory of its claims, goes beyond the limit.
	w.ms[0].restart()
	w.now = w.now.Add(time.Second)
	more := w.claim(0, none, directory.MAC{6}).Announce
	if _, err := w.ms[1].d.Apply(more[0], w.now, keys(w.ms)); !errors.Is(err, directory.ErrTooMany) {
		t.Errorf("record beyond the limit: %v", err)
	}
	// The withdrawal of its earlier life makes room.
	own := w.ms[0].d.Own(w.now)
	w.give(own[len(own)-1:], 1)
	w.give(more, 1)
	if got := len(w.ms[1].d.Entries()); got != 1 {
		t.Errorf("%d entries, want 1", got)
	}
}

func TestWithdrawnAreBounded(t *testing.T) {
	w := newTown(t, 2)
	for i := range 1100 {
		m := directory.MAC{2, 0, 0, 0, byte(i >> 8), byte(i)}
		w.give(w.claim(0, none, m).Announce, 1)
		w.give(w.ms[0].d.Withdraw(none, m, w.now).Announce, 1)
	}
	if got := len(w.ms[0].d.Own(w.now)); got != 1024+1 {
		t.Errorf("%d records of our own, want 1024 withdrawals and one of all earlier", got)
	}
}

func TestTakeOver(t *testing.T) {
	t.Run("after withdrawal", func(t *testing.T) {
		w := newTown(t, 3)
		w.everybody(0, w.claim(0, ip("10.0.0.1"), mac(1)).Announce)
		w.everybody(0, w.ms[0].d.Withdraw(ip("10.0.0.1"), mac(1), w.now).Announce)
		w.everybody(1, w.claim(1, ip("10.0.0.1"), mac(2)).Announce)
		w.wantHolder("10.0.0.1", 1, 0, 1, 2)
		if e, _ := w.ms[2].d.Lookup(ip("10.0.0.1")); e.Generation != 2 {
			t.Errorf("generation %d, want 2", e.Generation)
		}
	})
	t.Run("owner out of reach", func(t *testing.T) {
		w := newTown(t, 3)
		w.everybody(0, w.claim(0, ip("10.0.0.1"), mac(1)).Announce)
		w.pass(time.Hour / 10)
		w.cut(0, 1)
		w.cut(0, 2)
		w.pass(2999 * time.Millisecond)
		if _, err := w.ms[1].d.Claim(ip("10.0.0.1"), mac(2), w.now); err == nil {
			t.Error("taken before 3 s have passed")
		}
		w.pass(time.Millisecond)
		w.give(w.claim(1, ip("10.0.0.1"), mac(2)).Announce, 2)
		w.wantHolder("10.0.0.1", 1, 1, 2)
		w.wantHolder("10.0.0.1", 0, 0)

		// The partition heals: the same life of the owner has it back at once.
		w.now = w.now.Add(time.Minute)
		w.heal(0, 1)
		w.heal(0, 2)
		w.wantHolder("10.0.0.1", 0, 0, 1, 2)
		w.wantConflicts(1, directory.Conflict{Addr: ip("10.0.0.1"), MAC: mac(2), Owner: w.ms[0].id, Since: w.now})
		w.everybody(0, w.ms[0].d.Withdraw(ip("10.0.0.1"), mac(1), w.now).Announce)
		w.wantHolder("10.0.0.1", 1, 0, 1, 2)
	})
	t.Run("owner out of reach for longer than a claim holds", func(t *testing.T) {
		w := newTown(t, 3)
		w.everybody(0, w.claim(0, ip("10.0.0.1"), mac(1)).Announce)
		w.pass(time.Minute)
		w.cut(0, 1)
		w.cut(0, 2)
		w.pass(3 * time.Second)
		w.give(w.claim(1, ip("10.0.0.1"), mac(2)).Announce, 2)
		for range 31 * 6 {
			w.apart(10*time.Second, 0)
		}
		w.heal(0, 1)
		w.heal(0, 2)
		w.wantHolder("10.0.0.1", 1, 1, 2)
		w.pass(5 * time.Second) // the owner listens to the others before it gives way
		w.wantHolder("10.0.0.1", 1, 0, 1, 2)
		w.wantConflicts(0, directory.Conflict{Addr: ip("10.0.0.1"), MAC: mac(1), Owner: w.ms[1].id, Since: w.now})
		if got := w.ms[0].d.Stats().Lost; got != 1 {
			t.Errorf("%d losses counted", got)
		}
	})
	t.Run("owner begins anew meanwhile", func(t *testing.T) {
		for _, known := range []bool{true, false} {
			w := newTown(t, 3)
			w.everybody(0, w.claim(0, ip("10.0.0.1"), mac(1)).Announce)
			w.pass(time.Minute)
			file := w.ms[0].d.Known(w.now)
			w.cut(0, 1)
			w.cut(0, 2)
			w.pass(3 * time.Second)
			w.give(w.claim(1, ip("10.0.0.1"), mac(2)).Announce, 2)
			if !known {
				file = nil
			}
			w.ms[0].begin(file, w.now)
			w.keep(0, ip("10.0.0.1"), mac(1))
			w.heal(0, 1)
			w.heal(0, 2)
			w.wantHolder("10.0.0.1", 1, 1, 2)
			w.pass(5 * time.Second)
			w.wantHolder("10.0.0.1", 1, 0, 1, 2)
		}
	})
	t.Run("not from an owner in reach", func(t *testing.T) {
		w := newTown(t, 3)
		w.everybody(0, w.claim(0, ip("10.0.0.1"), mac(1)).Announce)
		w.pass(time.Hour / 10)
		// Member 1 behaves as if it did not reach the owner.
		w.ms[1].d.NodeUnreachable(w.ms[0].id, w.now.Add(-time.Minute))
		second := w.claim(1, ip("10.0.0.1"), mac(2)).Announce
		r := w.give(second, 0, 2)
		if r.Conflict == nil || r.Conflict.Owner != w.ms[0].id || !r.Conflict.Given {
			t.Errorf("conflict %v", r.Conflict)
		}
		w.wantHolder("10.0.0.1", 0, 0, 2)
		w.pass(5 * time.Second)
		if s := w.ms[0].d.Stats(); s.Refused == 0 || s.Conflicts != 1 || s.Lost != 0 {
			t.Errorf("owner counted %+v", s)
		}
		// When the owner is gone for everybody, the claim counts, and no longer.
		w.ms[2].d.NodeUnreachable(w.ms[0].id, w.now)
		w.pass(3 * time.Second)
		w.wantHolder("10.0.0.1", 1, 2)
		w.heal(0, 1)
		w.heal(0, 2)
		w.wantHolder("10.0.0.1", 0, 0, 1, 2)
	})
	t.Run("first to come back", func(t *testing.T) {
		w := newTown(t, 3)
		a := w.claim(0, ip("10.0.0.1"), mac(1)).Announce
		b := w.claim(1, ip("10.0.0.1"), mac(2)).Announce
		w.give(a, 2)
		w.give(b, 2)
		w.wantHolder("10.0.0.1", 0, 2)
		w.cut(0, 2)
		w.cut(1, 2)
		w.pass(3 * time.Second)
		w.wantHolder("10.0.0.1", 0, 2)
		w.ms[2].d.NodeReachable(w.ms[1].id, w.now)
		w.wantHolder("10.0.0.1", 0, 2) // it may have begun anew
		w.give(b, 2)
		w.wantHolder("10.0.0.1", 1, 2)
	})
	t.Run("both at once", func(t *testing.T) {
		w := newTown(t, 3)
		a := w.claim(0, ip("10.0.0.1"), mac(1)).Announce
		b := w.claim(1, ip("10.0.0.1"), mac(2)).Announce
		w.give(b, 2, 0)
		w.give(a, 2, 1)
		w.wantHolder("10.0.0.1", 0, 0, 1, 2)
		if s := w.ms[1].d.Stats(); s.Lost != 1 {
			t.Errorf("loser counted %+v", s)
		}
	})
	t.Run("one MAC address at two sites", func(t *testing.T) {
		w := newTown(t, 3)
		a := w.claim(0, ip("10.0.0.1"), mac(1)).Announce
		b := w.claim(1, ip("10.0.0.2"), mac(1)).Announce
		w.give(b, 2, 0)
		w.wantHolder("10.0.0.2", 1, 2)
		w.give(a, 2, 1)
		w.wantHolder("10.0.0.1", 0, 0, 1, 2)
		w.wantHolder("10.0.0.2", -1, 0, 1, 2) // its MAC address would lead to the other site
	})
}

func TestRestartedNodeLosesWhatItDoesNotClaimAgain(t *testing.T) {
	w := newTown(t, 2)
	w.give(w.claim(0, ip("10.0.0.1"), mac(1)).Announce, 1)
	w.give(w.claim(0, ip("10.0.0.2"), mac(2)).Announce, 1)
	old := w.ms[0].d.Own(w.now)
	w.pass(time.Second)
	w.ms[0].restart()
	w.claim(0, ip("10.0.0.2"), mac(2))
	w.heal(0, 1)
	w.wantHolder("10.0.0.1", -1, 1)
	w.wantHolder("10.0.0.2", 0, 1)
	if r := w.give(old, 1); !r.Stale {
		t.Error("records of the earlier life count")
	}
	w.wantHolder("10.0.0.1", -1, 1)
	if r := w.give(old[:1], 0); !r.Stale {
		t.Error("our own record of an earlier life counts")
	}
}

func TestRefreshAndExpiry(t *testing.T) {
	w := newTown(t, 2)
	w.give(w.claim(0, ip("10.0.0.1"), mac(1)).Announce, 1)
	for range 6 * 60 {
		w.pass(10 * time.Second)
	}
	w.wantHolder("10.0.0.1", 0, 0, 1)
	// From now on its refreshments are lost.
	var ended []directory.Change
	for range 6 * 36 {
		w.now = w.now.Add(10 * time.Second)
		w.ms[0].d.Tick(w.now)
		ended = append(ended, w.ms[1].d.Tick(w.now).Changes...)
	}
	w.wantHolder("10.0.0.1", 0, 0)
	w.wantHolder("10.0.0.1", -1, 1)
	if len(ended) != 2 || !ended[0].After.Node.IsZero() {
		t.Errorf("changes %+v", ended)
	}
	if at := w.ms[1].d.NextTick(); !at.IsZero() {
		t.Errorf("an empty directory wants a tick at %v", at)
	}
	if s := w.ms[1].d.Stats(); s.Expired != 2 {
		t.Errorf("counted %+v", s)
	}
}

func TestClockIsSet(t *testing.T) {
	w := newTown(t, 2)
	w.claim(0, ip("10.0.0.1"), mac(1))
	w.now = epoch.Add(time.Hour)
	w.claim(0, ip("10.0.0.2"), mac(2))
	// Back: the second claim is signed in the future now.
	w.now = epoch.Add(11 * time.Second)
	w.pass(0)
	w.wantHolder("10.0.0.2", 0, 0, 1)
	// Ahead, or the engine slept: what is ours is renewed, not expired.
	w.pass(5 * time.Hour)
	w.wantHolder("10.0.0.1", 0, 0, 1)
	w.wantHolder("10.0.0.2", 0, 0, 1)
}

func TestRefreshIsSpread(t *testing.T) {
	w := newTown(t, 1)
	for i := range 200 {
		w.claim(0, none, mac(byte(i)))
	}
	times := 0
	for range 61 {
		w.now = w.now.Add(10 * time.Second)
		if n := len(w.ms[0].d.Tick(w.now).Announce); n > 0 {
			times++
			if n > 80 {
				t.Errorf("%d records at once", n)
			}
		}
	}
	if times < 5 {
		t.Errorf("200 claims are renewed at %d times", times)
	}
}

func TestDropNode(t *testing.T) {
	w := newTown(t, 2)
	w.give(w.claim(0, ip("10.0.0.1"), mac(1)).Announce, 1)
	u := w.ms[1].d.DropNode(w.ms[0].id, w.now)
	if len(u.Changes) != 2 || len(w.ms[1].d.Entries()) != 0 {
		t.Errorf("changes %v, entries %v", u.Changes, w.ms[1].d.Entries())
	}
	w.claim(1, ip("10.0.0.1"), mac(1))
}

func TestKeyString(t *testing.T) {
	for want, k := range map[string]directory.Key{
		"address 10.0.0.1":              {Addr: ip("10.0.0.1")},
		"MAC address 02:00:00:00:00:07": {MAC: mac(7)},
		"all keys":                      {},
	} {
		if got := fmt.Sprint(k); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
