package directory_test

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"evio/overlay/directory"
)

// highest is the highest generation that a record may have.
const highest = 1 << 48

// liar signs whatever it likes as a member of a town.
type liar struct {
	w        *town
	number   int
	sequence uint64
}

func newLiar(w *town, number int) *liar {
	w.lying = map[int]bool{number: true}
	return &liar{w: w, number: number}
}

func (l *liar) sign(c directory.Claim) []byte {
	m := l.w.ms[l.number]
	l.sequence = max(l.sequence+1, uint64(l.w.now.UnixNano()))
	c.Owner, c.Sequence, c.Expiry = m.id, l.sequence, l.w.now.Add(directory.Lifetime)
	return directory.Sign(m.priv, overlay, c)
}

// claims signs claims of an address and a MAC address of the highest generation.
func (l *liar) claims(addr string, m directory.MAC) [][]byte {
	return [][]byte{
		l.sign(directory.Claim{MAC: m, Generation: highest}),
		l.sign(directory.Claim{Addr: ip(addr), MAC: m, Generation: highest}),
	}
}

// say brings records to members, whatever these make of them.
func (l *liar) say(records [][]byte, to ...int) {
	l.w.t.Helper()
	for _, i := range to {
		for _, record := range records {
			if r, err := l.w.ms[i].d.Apply(record, l.w.now, keys(l.w.ms)); err == nil {
				l.w.everybody(i, r.Announce)
			}
		}
	}
}

// Member 0 has an address, 1 is a bystander, 2 lies. Whatever it does, the address and
// its MAC address stay where they are, for the owner as for the bystander.
func TestNoMemberTakesAnAddress(t *testing.T) {
	const addr = "10.0.0.1"
	for name, attack := range map[string]func(w *town, l *liar){
		"by a high generation": func(_ *town, l *liar) { l.say(l.claims(addr, mac(1)), 0, 1) },
		"with a MAC address of its own": func(_ *town, l *liar) {
			l.say(l.claims(addr, mac(9)), 0, 1)
		},
		"by reconnecting": func(w *town, l *liar) {
			l.say(l.claims(addr, mac(1)), 0, 1)
			w.cut(0, 2)
			w.cut(1, 2)
			w.pass(80 * time.Millisecond)
			w.meet(0, 2)
			w.meet(1, 2)
			l.say(l.claims(addr, mac(1)), 0, 1)
		},
		"by many short sessions": func(w *town, l *liar) {
			for range 20 {
				w.cut(0, 2)
				w.pass(time.Second)
				w.meet(0, 2)
				l.say(l.claims(addr, mac(1)), 0)
				w.pass(time.Second)
			}
		},
		"by silence": func(w *town, l *liar) {
			w.cut(0, 2)
			w.cut(1, 2)
			for range 40 * 6 {
				w.apart(10*time.Second, 2)
			}
			w.meet(0, 2)
			l.say(l.claims(addr, mac(1)), 0)
			w.pass(6 * time.Second)
			w.meet(1, 2)
			l.say(l.claims(addr, mac(1)), 1)
		},
		"by flipping": func(w *town, l *liar) {
			w.cut(0, 2)
			w.meet(0, 2)
			for range 1000 {
				w.pass(7 * time.Millisecond)
				l.say([][]byte{l.sign(directory.Claim{MAC: mac(1), Generation: highest})}, 0, 1)
				l.say([][]byte{l.sign(directory.Claim{MAC: mac(1), Generation: highest, Withdrawn: true})}, 0, 1)
			}
			l.say(l.claims(addr, mac(1)), 0, 1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newTown(t, 3)
			w.everybody(0, w.claim(0, ip(addr), mac(1)).Announce)
			w.pass(20 * time.Minute)
			l := newLiar(w, 2)
			attack(w, l)
			for range 60 {
				w.pass(time.Second)
				w.wantHolder(addr, 0, 0, 1)
				if t.Failed() {
					return
				}
			}
			for _, i := range []int{0, 1} {
				if e, _ := w.ms[i].d.LookupMAC(mac(1)); e.Node != w.ms[0].id {
					t.Errorf("member %d: the MAC address is at %v", i, e.Node)
				}
			}
			w.wantConflicts(0)
		})
	}
}

// What one member flips 150 times a second makes the others say next to nothing, and
// nothing that does not speak of the key itself.
func TestFlippingIsDamped(t *testing.T) {
	w := newTown(t, 3)
	for _, addr := range []string{"10.0.0.1", "10.0.0.2", "fd00::1"} {
		w.everybody(0, w.claim(0, ip(addr), mac(1)).Announce)
	}
	l := newLiar(w, 2)
	w.cut(0, 2)
	w.meet(0, 2)
	said := 0
	for i := range 150 * 20 {
		w.now = w.now.Add(time.Second / 150)
		record := l.sign(directory.Claim{MAC: mac(1), Generation: uint64(2 * (i + 1)), Withdrawn: i%2 == 1})
		for _, j := range []int{0, 1} {
			r, err := w.ms[j].d.Apply(record, w.now, keys(w.ms))
			if err != nil {
				t.Fatal(err)
			}
			said += len(r.Announce)
			w.everybody(j, r.Announce)
			u := w.ms[j].d.Tick(w.now)
			said += len(u.Announce)
			w.everybody(j, u.Announce)
		}
	}
	if said > 60 {
		t.Errorf("%d records in answer to 3,000", said)
	}
	t.Logf("%d records", said)
}

// However many addresses one member claims, Docker can hand out those of its own range at
// the others.
func TestNobodySquats(t *testing.T) {
	w := newTown(t, 3)
	ranges := []netip.Prefix{netip.MustParsePrefix("10.0.0.64/26")}
	w.everybody(0, w.ms[0].d.SetRanges(ranges, w.now).Announce)
	l := newLiar(w, 2)
	refused := 0
	for i := range 256 {
		m := directory.MAC{2, 0, 0, 0, 9, byte(i)}
		records := [][]byte{
			l.sign(directory.Claim{MAC: m, Generation: 1}),
			l.sign(directory.Claim{Addr: netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), MAC: m, Generation: 1}),
		}
		for _, j := range []int{0, 1} {
			for _, record := range records {
				if _, err := w.ms[j].d.Apply(record, w.now, keys(w.ms)); err != nil {
					refused++
				}
			}
		}
	}
	if refused != 2*2 {
		t.Errorf("%d records refused, want those of the network and the broadcast address", refused)
	}
	for i := range byte(64) {
		addr := netip.AddrFrom4([4]byte{10, 0, 0, 64 + i})
		w.everybody(0, w.claim(0, addr, mac(i)).Announce)
		w.wantHolder(addr.String(), 0, 0, 1)
	}
	// Without the MAC address an address is nobody's.
	l.say([][]byte{l.sign(directory.Claim{Addr: ip("fd00::5"), MAC: mac(1), Generation: highest})}, 0, 1)
	w.everybody(1, w.claim(1, ip("fd00::5"), mac(77)).Announce)
	w.wantHolder("fd00::5", 1, 0, 1)
	// Nor are more than ten with one MAC address anybody's.
	m := directory.MAC{2, 0, 0, 0, 8, 1}
	l.say([][]byte{l.sign(directory.Claim{MAC: m, Generation: 1})}, 0, 1)
	for i := range 12 {
		record := l.sign(directory.Claim{Addr: netip.AddrFrom16([16]byte{0xfd, 14: 1, 15: byte(i)}), MAC: m, Generation: 1})
		_, err := w.ms[1].d.Apply(record, w.now, keys(w.ms))
		if (i >= 10) != errors.Is(err, directory.ErrTooMany) {
			t.Errorf("address %d: %v", i+1, err)
		}
	}
}

// A node that begins without knowing anything hears the liar first, and then better.
func TestNewcomerHearsTheLiarFirst(t *testing.T) {
	w := newTown(t, 4)
	w.everybody(0, w.claim(0, ip("10.0.0.1"), mac(1)).Announce)
	w.pass(time.Hour / 2)
	l := newLiar(w, 2)
	w.ms[3].begin(nil, w.now)
	w.ms[3].d.NodeReachable(w.ms[2].id, w.now)
	l.say(l.claims("10.0.0.1", mac(1)), 3) // and to nobody else
	w.pass(2 * time.Minute)
	w.wantHolder("10.0.0.1", 2, 3)
	w.heal(0, 3)
	w.heal(1, 3)
	w.pass(5 * time.Second)
	w.wantHolder("10.0.0.1", 0, 0, 1, 3)
}
