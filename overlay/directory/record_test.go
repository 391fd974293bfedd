package directory

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"evio/overlay/nodeid"
)

var (
	testKey   = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, ed25519.SeedSize))
	testOwner = nodeid.FromKey(publicKey(testKey), "blue")
	testNow   = time.UnixMilli(1_800_000_000_000)
)

func testClaim() Claim {
	return Claim{
		Addr: netip.MustParseAddr("10.0.0.1"), MAC: MAC{2, 0, 0, 0, 0, 1}, Owner: testOwner,
		Generation: 1, Sequence: 7, Expiry: testNow.Add(Lifetime),
	}
}

func TestRecordRoundTrip(t *testing.T) {
	addrs := []netip.Addr{{}, netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd00::1"), netip.MustParseAddr("fe80::1")}
	rapid.Check(t, func(rt *rapid.T) {
		want := Claim{
			Addr:       rapid.SampledFrom(addrs).Draw(rt, "address"),
			MAC:        MAC{2, 5: rapid.Byte().Draw(rt, "MAC")},
			Owner:      testOwner,
			Generation: rapid.Uint64Range(1, maxGeneration).Draw(rt, "generation"),
			Sequence:   rapid.Uint64().Draw(rt, "sequence"),
			Expiry:     testNow.Add(time.Duration(rapid.IntRange(0, 1e9).Draw(rt, "expiry")) * time.Millisecond),
			Withdrawn:  rapid.Bool().Draw(rt, "withdrawn"),
		}
		b := sign(testKey, "blue", want)
		got, err := parse(b)
		if err != nil {
			rt.Fatal(err)
		}
		if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
			rt.Fatal(diff)
		}
		if !verify(publicKey(testKey), "blue", b) || verify(publicKey(testKey), "green", b) {
			rt.Fatal("signature")
		}
		b[rapid.IntRange(0, len(b)-1).Draw(rt, "changed")] ^= 1
		if verify(publicKey(testKey), "blue", b) {
			rt.Fatal("a changed record is verified")
		}
	})
}

// A later version may add fields; they are signed and skipped.
func TestRecordWithMoreFields(t *testing.T) {
	b := sign(testKey, "blue", testClaim())
	b = append(b[:len(b)-ed25519.SignatureSize], "more"...)
	b = append(b, ed25519.Sign(testKey, signed(b, "blue"))...)
	got, err := parse(b)
	if err != nil || !verify(publicKey(testKey), "blue", b) || got.Key() != testClaim().Key() {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestApplyRefuses(t *testing.T) {
	stranger := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{2}, ed25519.SeedSize))
	us := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{3}, ed25519.SeedSize))
	self := nodeid.FromKey(publicKey(us), "blue")
	keyOf := func(id nodeid.ID) (ed25519.PublicKey, bool) {
		switch id {
		case testOwner:
			return publicKey(testKey), true
		case nodeid.ID{9}: // a member list that is wrong
			return publicKey(testKey), true
		}
		return nil, false
	}
	with := func(priv ed25519.PrivateKey, change func(*Claim)) []byte {
		c := testClaim()
		change(&c)
		return sign(priv, "blue", c)
	}
	good := with(testKey, func(*Claim) {})
	tests := []struct {
		name   string
		record []byte
		want   error
	}{
		{"empty", nil, ErrRecord},
		{"cut", good[:len(good)-1], ErrRecord},
		{"cut short", good[:offAddr+ed25519.SignatureSize-1], ErrRecord},
		{"too long", append(bytes.Clone(good), make([]byte, MaxRecord)...), ErrRecord},
		{"other version", append([]byte{1}, good[1:]...), ErrVersion},
		{"forged", with(stranger, func(*Claim) {}), ErrSignature},
		{"stranger", with(stranger, func(c *Claim) { c.Owner = nodeid.FromKey(publicKey(stranger), "blue") }), ErrMember},
		{"key of another node", with(testKey, func(c *Claim) { c.Owner = nodeid.ID{9} }), ErrMember},
		{"other overlay", sign(testKey, "green", testClaim()), ErrSignature},
		{"other subnet", with(testKey, func(c *Claim) { c.Addr = netip.MustParseAddr("10.0.1.1") }), ErrSubnet},
		{"mapped", with(testKey, func(c *Claim) { c.Addr = netip.MustParseAddr("::ffff:10.0.0.1") }), ErrRecord},
		{"multicast", with(testKey, func(c *Claim) { c.Addr = netip.MustParseAddr("224.0.0.1") }), ErrRecord},
		{"group MAC", with(testKey, func(c *Claim) { c.MAC[0] = 1 }), ErrRecord},
		{"no MAC", with(testKey, func(c *Claim) { c.MAC = MAC{} }), ErrRecord},
		{"claim of nothing", with(testKey, func(c *Claim) { c.Addr, c.MAC, c.Generation = netip.Addr{}, MAC{}, 0 }), ErrRecord},
		{"generation zero", with(testKey, func(c *Claim) { c.Generation = 0 }), ErrRecord},
		{"generation without successor", with(testKey, func(c *Claim) { c.Generation = maxGeneration + 1 }), ErrRecord},
		{"expired", with(testKey, func(c *Claim) { c.Expiry = testNow.Add(-Skew - time.Millisecond) }), ErrTime},
		{"of the future", with(testKey, func(c *Claim) { c.Expiry = testNow.Add(Lifetime + Skew + time.Millisecond) }), ErrTime},
		{"signed as we do", with(us, func(c *Claim) { c.Owner = self }), ErrIdentity},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d, err := New(self, us, "blue", Config{Subnets: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24")}}, testNow)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := d.Apply(tt.record, testNow, keyOf); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
			if s := d.Stats(); s.Invalid != 1 || len(d.keys)+len(d.nodes) != 0 {
				t.Errorf("left %d places, %d nodes, counted %+v", len(d.keys), len(d.nodes), s)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add(sign(testKey, "blue", testClaim()))
	c := testClaim()
	c.Addr = netip.Addr{}
	f.Add(sign(testKey, "blue", c))
	f.Add(sign(testKey, "blue", Claim{Owner: testOwner, Withdrawn: true}))
	f.Add([]byte{1})
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := parse(b)
		if err != nil {
			return
		}
		again, err := parse(sign(testKey, "blue", c))
		if err != nil {
			t.Fatal(err)
		}
		// Times before 1970 are written as zero; Apply refuses both.
		if c.Expiry.UnixMilli() < 0 {
			again.Expiry = c.Expiry
		}
		if again != c {
			t.Fatalf("%+v became %+v", c, again)
		}
		verify(publicKey(testKey), "blue", b)
	})
}
