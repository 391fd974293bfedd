package directory

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"net/netip"
	"strings"
	"testing"
	"time"

	"evio/overlay/nodeid"
)

// acquainted returns a directory that claims and knows something of each kind, and the key of
// the other node.
func acquainted(t testing.TB, now time.Time) (*Directory, ed25519.PrivateKey) {
	other := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{2}, ed25519.SeedSize))
	id := nodeid.FromKey(publicKey(other), "blue")
	cfg := Config{Subnets: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/16"), netip.MustParsePrefix("fd00::/64")}}
	d, err := New(testOwner, testKey, "blue", cfg, now)
	if err != nil {
		t.Fatal(err)
	}
	o, err := New(id, other, "blue", cfg, now)
	if err != nil {
		t.Fatal(err)
	}
	d.NodeReachable(id, now)
	keyOf := func(nodeid.ID) (ed25519.PublicKey, bool) { return publicKey(other), true }
	for i, addr := range []string{"10.0.0.2", "fd00::2", "10.0.0.3"} {
		u, err := o.Claim(netip.MustParseAddr(addr), MAC{2, 5: byte(i)}, now)
		if err != nil {
			t.Fatal(err)
		}
		if i == 2 {
			u.Announce = append(u.Announce, o.Withdraw(netip.MustParseAddr(addr), MAC{2, 5: 2}, now).Announce...)
		}
		for _, r := range append(u.Announce, o.SetRanges([]netip.Prefix{netip.MustParsePrefix("10.0.1.0/24")}, now).Announce...) {
			if _, err := d.Apply(r, now, keyOf); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := d.Claim(netip.MustParseAddr("10.0.0.1"), MAC{2, 0, 0, 0, 1, 1}, now); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Take(netip.MustParseAddr("fd00::1"), MAC{2, 0, 0, 0, 1, 1}, now); err != nil {
		t.Fatal(err)
	}
	return d, other
}

func TestKnownRoundTrip(t *testing.T) {
	d, _ := acquainted(t, testNow)
	later := testNow.Add(time.Minute)
	file := d.Known(later)
	cfg := Config{Subnets: d.subnets, Known: file}
	again, err := New(testOwner, testKey, "blue", cfg, later)
	if err != nil {
		t.Fatal(err)
	}
	if at := again.NextTick(); at.After(later) {
		t.Errorf("what is known is shown at %v", at)
	}
	if got := len(again.Tick(later).Changes); got != 4 {
		t.Errorf("%d changes, want those of two MAC addresses and two addresses: %v", got, again.Entries())
	}
	for _, addr := range []string{"10.0.0.2", "fd00::2"} {
		e, ok := again.Lookup(netip.MustParseAddr(addr))
		if was, _ := d.Lookup(netip.MustParseAddr(addr)); !ok || e.Node != was.Node || e.MAC != was.MAC || e.Generation != was.Generation {
			t.Errorf("%s: %+v, was %+v", addr, e, was)
		}
	}
	if again.rangeHolder(netip.MustParseAddr("10.0.1.7")).IsZero() {
		t.Error("nobody has the range")
	}
	if _, err := again.Take(netip.MustParseAddr("10.0.0.3"), MAC{2, 0, 0, 0, 1, 9}, later); err == nil {
		t.Error("the quarantine is forgotten")
	}
	if _, err := again.Keep(netip.MustParseAddr("10.0.0.1"), MAC{2, 0, 0, 0, 1, 1}, later); err != nil {
		t.Fatal(err)
	}
	if w := again.wants[Key{Addr: netip.MustParseAddr("10.0.0.1")}]; !w.held.Equal(testNow) || !w.kept {
		t.Errorf("held since %v, want %v", w.held, testNow)
	}
	if _, err := again.Take(netip.MustParseAddr("fd00::1"), MAC{2, 0, 0, 0, 1, 1}, later); err != nil {
		t.Fatal(err)
	}
	if w := again.wants[Key{Addr: netip.MustParseAddr("fd00::1")}]; !w.held.Equal(testNow) || !w.kept || !w.taken || again.taken != 1 {
		t.Errorf("what a container has taken is held since %v, want %v", w.held, testNow)
	}
	if !bytes.Equal(again.Known(later), file) {
		t.Error("the next life knows less")
	}
}

func TestKnownIsDamaged(t *testing.T) {
	d, other := acquainted(t, testNow)
	file := d.Known(testNow)
	flipped := bytes.Clone(file)
	flipped[len(file)/2] ^= 1
	o, err := New(nodeid.FromKey(publicKey(other), "blue"), other, "blue", Config{}, testNow)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{
		"flipped": flipped, "cut": file[:len(file)-1], "more": append(bytes.Clone(file), 0), "short": {1},
		"of another node": o.Known(testNow), "too long": make([]byte, 2<<20),
	} {
		d, err := New(testOwner, testKey, "blue", Config{Subnets: d.subnets, Known: b}, testNow)
		if err == nil || !strings.Contains(err.Error(), "the file of known claims is damaged") {
			t.Errorf("%s: %v", name, err)
		}
		if d == nil || len(d.keys)+len(d.kept)+len(d.nodes) != 0 {
			t.Errorf("%s: something is known", name)
		}
	}
}

// A full directory's file keeps within its bound, and what is beyond it is left out.
func TestKnownIsBounded(t *testing.T) {
	d, err := New(testOwner, testKey, "blue", Config{}, testNow)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 15 {
		id := nodeid.ID{0: byte(i + 1)}
		d.node(id, testNow)
		for j := range 2 * MaxClaims {
			c := Claim{
				Owner: id, Generation: 1, Sequence: uint64(j + 1), Expiry: testNow.Add(Lifetime), MAC: MAC{2, 0, 0, byte(i), byte(j >> 8), byte(j)},
			}
			if j%2 == 1 { // with its MAC address
				c.Addr = netip.AddrFrom16([16]byte{0xfd, 13: byte(i), 14: byte(j >> 8), 15: byte(j)})
			}
			d.put(claimed{Claim: c, held: testNow}, testNow)
		}
	}
	b := d.Known(testNow)
	if len(b) > MaxKnown || len(b) < MaxKnown*9/10 {
		t.Errorf("%d bytes", len(b))
	}
	m, err := parseKnown(b, testNow, testNow)
	if err != nil || len(m.claims) < 15*MaxClaims {
		t.Errorf("%d claims, %v", len(m.claims), err)
	}
}

func FuzzKnown(f *testing.F) {
	d, _ := acquainted(f, testNow)
	file := d.Known(testNow)
	f.Add(file[:len(file)-sha256.Size])
	f.Add([]byte(knownMagic))
	f.Fuzz(func(t *testing.T, body []byte) {
		sum := sha256.Sum256(body)
		again, _ := New(testOwner, testKey, "blue", Config{Known: append(bytes.Clone(body), sum[:]...)}, testNow)
		now := testNow.Add(time.Second)
		again.Tick(now)
		for k, old := range again.kept {
			if k.isAddr() {
				again.Keep(k.Addr, old.mac, now) //nolint:errcheck // whether it may is not the question
			}
		}
		again.Tick(now.Add(time.Hour))
		if _, err := parseKnown(again.Known(now), now, now); err != nil {
			t.Fatal(err)
		}
	})
}
