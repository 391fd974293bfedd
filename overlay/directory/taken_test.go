package directory_test

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"evio/overlay/directory"
	"evio/overlay/nodeid"
)

func (w *town) take(i int, addr netip.Addr, m directory.MAC) directory.Update {
	w.t.Helper()
	u, err := w.ms[i].d.Take(addr, m, w.now)
	if err != nil {
		w.t.Fatal(err)
	}
	return u
}

// What Docker took back containers may not take for ten minutes, at any engine; Docker may
// hand it out at once.
func TestQuarantine(t *testing.T) {
	w := newTown(t, 3)
	w.everybody(0, w.claim(0, ip("10.0.0.1"), mac(1)).Announce)
	w.everybody(0, w.ms[0].d.Withdraw(ip("10.0.0.1"), mac(1), w.now).Announce)
	w.ms[2].restart() // and hears of it later
	for range 9 * 6 {
		for i := range 3 {
			if _, err := w.ms[i].d.Take(ip("10.0.0.1"), mac(9), w.now); i != 2 && !errors.Is(err, directory.ErrQuarantined) {
				t.Fatalf("member %d: %v", i, err)
			}
			if err := w.ms[i].d.Check(ip("10.0.0.1"), mac(9), w.now); err != nil {
				t.Fatal(err)
			}
		}
		w.now = w.now.Add(10 * time.Second)
		if w.now.Sub(epoch) == 10*time.Second {
			w.ms[2].restart()
			w.heal(0, 2)
		}
	}
	if _, err := w.ms[2].d.Take(ip("10.0.0.1"), mac(9), w.now); !errors.Is(err, directory.ErrQuarantined) {
		t.Errorf("who heard it later: %v", err)
	}
	w.now = epoch.Add(10 * time.Minute)
	w.everybody(1, w.take(1, ip("10.0.0.1"), mac(9)).Announce)
	w.wantHolder("10.0.0.1", 1, 0, 1, 2)
	if e, _ := w.ms[0].d.Lookup(ip("10.0.0.1")); !e.Taken {
		t.Errorf("%+v is not taken", e)
	}
	// What a container gave up is free at once.
	w.everybody(1, w.ms[1].d.Withdraw(ip("10.0.0.1"), mac(9), w.now).Announce)
	w.take(2, ip("10.0.0.1"), mac(8))
}

// What containers take is bounded and never keeps Docker from handing out an address.
func TestTakenGivesWayToGiven(t *testing.T) {
	w := newTown(t, 2)
	for i := range directory.MaxTaken {
		w.take(0, none, directory.MAC{2, 0, 0, 1, byte(i >> 8), byte(i)})
	}
	if _, err := w.ms[0].d.Take(none, mac(1), w.now); !errors.Is(err, directory.ErrTakenFull) {
		t.Errorf("beyond the limit: %v", err)
	}
	gone := 0
	for i := range directory.MaxClaims {
		u := w.claim(0, none, directory.MAC{2, 0, 0, 2, byte(i >> 8), byte(i)})
		for _, l := range u.Lost {
			if want := (directory.MAC{2, 0, 0, 1, byte(gone >> 8), byte(gone)}); l.MAC != want || !l.Taken || l.Owner != w.ms[0].id {
				t.Fatalf("lost %+v, want %v", l, want)
			}
			gone++
		}
		w.give(u.Announce, 1)
	}
	if gone != directory.MaxTaken {
		t.Errorf("%d gave way", gone)
	}
	if _, err := w.ms[0].d.Claim(none, mac(1), w.now); !errors.Is(err, directory.ErrFull) {
		t.Errorf("beyond the limit: %v", err)
	}
}

func TestTenAddressesPerMAC(t *testing.T) {
	w := newTown(t, 2)
	at := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, 0, byte(1 + i)}) }
	for i := range 10 {
		how := w.take
		if i >= 4 {
			how = w.claim
		}
		w.give(how(0, at(i), mac(1)).Announce, 1)
	}
	if _, err := w.ms[0].d.Take(at(10), mac(1), w.now); !errors.Is(err, directory.ErrMACFull) {
		t.Errorf("an eleventh: %v", err)
	}
	u := w.claim(0, at(10), mac(1))
	if len(u.Lost) != 1 || u.Lost[0].Key.Addr != at(0) || !u.Lost[0].Taken {
		t.Errorf("lost %+v, want the oldest that was taken", u.Lost)
	}
	w.give(u.Announce, 1)
	w.wantHolder("10.0.0.1", -1, 0, 1)
	w.wantHolder("10.0.0.11", 0, 0, 1)
}

// Docker hands out what a container here has taken; a container here cannot take what
// Docker has handed out to another one.
func TestGivenAndTakenAtOneNode(t *testing.T) {
	w := newTown(t, 2)
	w.give(w.take(0, ip("10.0.0.1"), mac(1)).Announce, 1)
	w.give(w.take(0, ip("10.0.0.1"), mac(2)).Announce, 1) // a VIP that moves within the engine
	if e, _ := w.ms[1].d.Lookup(ip("10.0.0.1")); e.MAC != mac(2) || !e.Taken {
		t.Errorf("%+v", e)
	}
	u := w.claim(0, ip("10.0.0.1"), mac(3))
	if len(u.Lost) != 1 || !u.Lost[0].Taken || u.Lost[0].MAC != mac(2) {
		t.Errorf("lost %+v", u.Lost)
	}
	w.give(u.Announce, 1)
	if e, _ := w.ms[1].d.Lookup(ip("10.0.0.1")); e.MAC != mac(3) || e.Taken {
		t.Errorf("%+v", e)
	}
	var conflict *directory.ConflictError
	if _, err := w.ms[0].d.Take(ip("10.0.0.1"), mac(2), w.now); !errors.As(err, &conflict) || !conflict.Given || conflict.Owner != w.ms[0].id {
		t.Errorf("%v", err)
	}
	if u := w.take(0, ip("10.0.0.1"), mac(3)); len(u.Announce) != 0 {
		t.Error("what Docker gave is taken")
	}
	if u := w.ms[0].d.Withdraw(ip("10.0.0.1"), mac(2), w.now); len(u.Announce) != 0 {
		t.Error("withdrawn for a container that does not have it")
	}
}

func TestRangesAreClaims(t *testing.T) {
	ranges := func(s ...string) (all []netip.Prefix) {
		for _, p := range s {
			all = append(all, netip.MustParsePrefix(p))
		}
		return all
	}
	w := newTown(t, 3)
	w.everybody(0, w.ms[0].d.SetRanges(ranges("10.0.0.0/24", "10.0.0.64/26", "fd00::1:0/112"), w.now).Announce)
	w.pass(2 * time.Minute)
	// Another one that overlaps is refused, whatever its length, and has to wait.
	u := w.ms[1].d.SetRanges(ranges("10.0.0.0/25"), w.now)
	if len(u.Announce) != 0 {
		t.Errorf("%+v", u)
	}
	// Others have addresses in it until the holder hands them out.
	w.everybody(1, w.claim(1, ip("10.0.0.65"), mac(1)).Announce)
	w.everybody(2, w.take(2, ip("10.0.0.66"), mac(2)).Announce)
	w.pass(2 * time.Minute)
	w.wantHolder("10.0.0.65", 1, 0, 1, 2)
	w.everybody(0, w.claim(0, ip("10.0.0.65"), mac(3)).Announce)
	w.everybody(0, w.claim(0, ip("10.0.0.66"), mac(4)).Announce)
	w.wantHolder("10.0.0.65", 0, 0, 1, 2)
	w.wantHolder("10.0.0.66", 0, 0, 1, 2)
	if _, err := w.ms[0].d.Take(ip("fd00::1:1"), mac(5), w.now); err != nil {
		t.Error(err)
	}
	w.everybody(0, w.ms[0].d.Withdraw(ip("10.0.0.65"), mac(3), w.now).Announce)
	w.wantHolder("10.0.0.65", 1, 0, 1, 2)
	// The holder gives the range up, and the other one has it.
	w.everybody(0, w.ms[0].d.SetRanges(nil, w.now).Announce)
	w.everybody(1, w.claim(1, ip("10.0.0.70"), mac(7)).Announce)
	for i := range w.ms {
		if got := w.ms[i].d.RangeHolder(ip("10.0.0.70")); got != w.ms[1].id {
			t.Errorf("member %d: the range is at %v", i, got)
		}
	}
}

func TestNobodysAddresses(t *testing.T) {
	w := newTown(t, 3)
	for _, addr := range []string{"10.0.0.0", "10.0.0.255", "fd00::"} {
		if _, err := w.ms[0].d.Claim(ip(addr), mac(1), w.now); !errors.Is(err, directory.ErrNobodys) {
			t.Errorf("%s: %v", addr, err)
		}
	}
	w.everybody(1, w.claim(1, ip("10.0.0.20"), mac(2)).Announce)
	w.everybody(1, w.take(1, ip("10.0.0.9"), mac(2)).Announce)
	for i := range w.ms {
		w.everybody(i, w.ms[i].d.SetGateways(w.ms[0].id, []netip.Addr{ip("10.0.0.9"), ip("10.0.0.20")}, w.now).Announce)
	}
	w.wantHolder("10.0.0.20", 1, 1, 2) // Docker gave it before
	w.wantHolder("10.0.0.20", -1, 0)   // where the gateway stands it is the gateway
	w.wantHolder("10.0.0.9", -1, 0, 1, 2)
	if _, err := w.ms[2].d.Take(ip("10.0.0.9"), mac(3), w.now); !errors.Is(err, directory.ErrNobodys) {
		t.Error(err)
	}
	w.everybody(0, w.claim(0, ip("10.0.0.9"), mac(1)).Announce) // its own
	w.wantHolder("10.0.0.9", 0, 0, 1, 2)
}

func TestReservedAddresses(t *testing.T) {
	w := newTown(t, 3)
	owner := w.ms[2].id
	for i := range w.ms {
		d, err := directory.New(w.ms[i].id, w.ms[i].priv, overlay, directory.Config{
			Subnets:  net10,
			Reserved: func(a netip.Addr) (nodeid.ID, bool) { return owner, a == ip("10.0.0.7") },
		}, w.now)
		if err != nil {
			t.Fatal(err)
		}
		w.ms[i].d = d
	}
	var conflict *directory.ConflictError
	if err := w.ms[0].d.Check(ip("10.0.0.7"), mac(1), w.now); !errors.As(err, &conflict) || !conflict.Reserved || conflict.Owner != owner {
		t.Errorf("%v", err)
	}
	l := newLiar(w, 1)
	l.say(l.claims("10.0.0.7", mac(1)), 0, 2)
	w.wantHolder("10.0.0.7", -1, 0, 2)
	w.everybody(2, w.claim(2, ip("10.0.0.7"), mac(2)).Announce)
	w.wantHolder("10.0.0.7", 2, 0, 2)
}

// What a container gives up Docker may have handed out since, which stays.
func TestGivingUpLeavesWhatDockerHandedOut(t *testing.T) {
	w := newTown(t, 2)
	w.take(0, none, mac(1))
	w.claim(0, none, mac(1))
	if u := w.ms[0].d.GiveUp(none, mac(1), w.now); len(u.Announce) != 0 {
		t.Error("a MAC address of Docker's is withdrawn for a container that had claimed it before")
	}
	w.take(0, ip("10.0.0.1"), mac(1))
	w.everybody(0, w.ms[0].d.GiveUp(ip("10.0.0.1"), mac(1), w.now).Announce)
	w.wantHolder("10.0.0.1", -1, 0, 1)
	if e, ok := w.ms[0].d.LookupMAC(mac(1)); !ok || e.Taken {
		t.Errorf("%+v", e)
	}
}

// A member that says that its Docker took back what another node has keeps it from nobody.
func TestQuarantineOfWhatOneNeverHad(t *testing.T) {
	w := newTown(t, 3)
	w.everybody(0, w.take(0, ip("10.0.0.1"), mac(1)).Announce)
	liar := w.ms[2]
	w.lying = map[int]bool{2: true}
	for i, withdrawn := range []bool{false, true} {
		w.give([][]byte{directory.Sign(liar.priv, overlay, directory.Claim{
			Addr: ip("10.0.0.1"), MAC: mac(6), Owner: liar.id, Generation: 1, Sequence: uint64(i + 1), Expiry: w.now.Add(directory.Lifetime),
			Withdrawn: withdrawn, Released: withdrawn,
		})}, 0, 1)
	}
	w.everybody(0, w.ms[0].d.GiveUp(ip("10.0.0.1"), mac(1), w.now).Announce)
	w.everybody(1, w.take(1, ip("10.0.0.1"), mac(2)).Announce)
	w.wantHolder("10.0.0.1", 1, 0, 1)
}

// It makes no difference whether a gateway is announced before or after the range that it is in.
func TestGatewayInARangeOfAnother(t *testing.T) {
	w := newTown(t, 3)
	gateways := []netip.Addr{ip("10.0.0.20"), ip("10.0.0.99")}
	for _, i := range []int{0, 1} {
		w.ms[i].d.SetGateways(w.ms[2].id, gateways, w.now)
	}
	w.everybody(0, w.ms[0].d.SetRanges([]netip.Prefix{netip.MustParsePrefix("10.0.0.16/28")}, w.now).Announce)
	w.everybody(0, w.claim(0, ip("10.0.0.20"), mac(1)).Announce)
	w.wantHolder("10.0.0.20", 0, 0, 1)
	if _, err := w.ms[0].d.Claim(ip("10.0.0.99"), mac(2), w.now); !errors.Is(err, directory.ErrNobodys) {
		t.Errorf("a gateway elsewhere: %v", err)
	}
	w.ms[1].d.SetGateways(w.ms[1].id, []netip.Addr{ip("10.0.0.21")}, w.now) // one's own stays
	w.everybody(0, w.claim(0, ip("10.0.0.21"), mac(3)).Announce)
	w.wantHolder("10.0.0.21", -1, 1)
}
