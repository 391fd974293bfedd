package contact_test

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"evio/overlay/contact"
	"evio/overlay/nodeid"
)

const overlay = "blue"

var epoch = time.UnixMilli(1_800_000_000_000)

// key returns one of many identities.
func key(n byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, ed25519.SeedSize))
}

func public(priv ed25519.PrivateKey) ed25519.PublicKey {
	return priv.Public().(ed25519.PublicKey)
}

func id(n byte) nodeid.ID { return nodeid.FromKey(public(key(n)), overlay) }

func envelope(to byte, attempt uint64, parameters string) contact.Envelope {
	return contact.Envelope{
		To: id(to), Attempt: attempt, Expiry: epoch.Add(contact.Lifetime), Parameters: []byte(parameters),
	}
}

func sign(t testing.TB, from byte, e contact.Envelope) []byte {
	t.Helper()
	b, err := contact.Sign(key(from), overlay, e)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestSignOpen(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		e := contact.Envelope{
			To:         id(2),
			Attempt:    rapid.Uint64Range(1, uint64(epoch.UnixMilli())).Draw(rt, "attempt"),
			Expiry:     epoch.Add(contact.Lifetime),
			Parameters: rapid.SliceOfN(rapid.Byte(), 0, contact.MaxParameters).Draw(rt, "parameters"),
		}
		b := sign(t, 1, e)
		if len(b) > contact.MaxSize {
			rt.Fatalf("envelope of %d bytes", len(b))
		}
		if to, err := contact.To(b); err != nil || to != id(2) {
			rt.Fatalf("To = %v, %v", to, err)
		}
		got, body, err := contact.Open(b, overlay, id(2), epoch, nil)
		if err != nil {
			rt.Fatal(err)
		}
		want := e
		want.From, want.Key = id(1), public(key(1))
		if diff := cmp.Diff(want, got, cmp.Comparer(bytes.Equal)); diff != "" {
			rt.Fatal(diff)
		}
		if !bytes.Equal(body, contact.Body(want, overlay)) {
			rt.Fatal("the receiver's body is not the sender's")
		}
	})
}

func TestSignTooLong(t *testing.T) {
	e := envelope(2, 1, strings.Repeat("x", contact.MaxParameters+1))
	if _, err := contact.Sign(key(1), overlay, e); err == nil {
		t.Error("signed parameters that do not fit")
	}
}

func TestOpenRefuses(t *testing.T) {
	now := uint64(epoch.UnixMilli())
	good := sign(t, 1, envelope(2, now, "parameters"))
	expiring := func(at time.Time) []byte {
		e := envelope(2, now, "parameters")
		e.Expiry = at
		return sign(t, 1, e)
	}
	changed := func(i int) []byte {
		b := bytes.Clone(good)
		b[i] ^= 1
		return b
	}
	tests := []struct {
		name    string
		b       []byte
		overlay string
		want    error
	}{
		{"empty", nil, overlay, contact.ErrMalformed},
		{"too long", append(bytes.Clone(good), make([]byte, contact.MaxSize)...), overlay, contact.ErrMalformed},
		{"cut", good[:len(good)-1], overlay, contact.ErrMalformed},
		{"longer", append(bytes.Clone(good), 0), overlay, contact.ErrMalformed},
		{"other receiver", sign(t, 1, envelope(3, now, "")), overlay, contact.ErrReceiver},
		{"other overlay", good, "green", contact.ErrSender},
		{"sender not of the key", changed(17), overlay, contact.ErrSender},
		{"key not of the sender", changed(49), overlay, contact.ErrSender},
		{"attempt changed", changed(40), overlay, contact.ErrSignature},
		{"expiry changed", changed(48), overlay, contact.ErrSignature},
		{"parameters changed", changed(83), overlay, contact.ErrSignature},
		{"signature changed", changed(len(good) - 64), overlay, contact.ErrSignature},
		{"ourselves", sign(t, 2, envelope(2, now, "")), overlay, contact.ErrSelf},
		{"expired", expiring(epoch.Add(-contact.Skew - time.Millisecond)), overlay, contact.ErrTime},
		{"valid for long", expiring(epoch.Add(contact.Lifetime + contact.Skew + time.Millisecond)), overlay, contact.ErrTime},
		{"before all time", expiring(time.UnixMilli(-1)), overlay, contact.ErrTime},
		{"attempt zero", sign(t, 1, envelope(2, 0, "")), overlay, contact.ErrTime},
		{"attempt of the future", sign(t, 1, envelope(2, now+3_600_000, "")), overlay, contact.ErrTime},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, _, err := contact.Open(tt.b, tt.overlay, id(2), epoch, nil); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
	for name, b := range map[string][]byte{
		"good":           good,
		"just expired":   expiring(epoch.Add(-contact.Skew)),
		"clock is ahead": expiring(epoch.Add(contact.Lifetime + contact.Skew)),
	} {
		if _, _, err := contact.Open(b, overlay, id(2), epoch, nil); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOpenVersion(t *testing.T) {
	b := sign(t, 1, envelope(2, uint64(epoch.UnixMilli()), ""))
	b[0] = 7
	_, _, err := contact.Open(b, overlay, id(2), epoch, nil)
	var version *contact.VersionError
	if !errors.As(err, &version) || version.Peer != 7 {
		t.Fatalf("got %v, want a VersionError of 7", err)
	}
	if s := err.Error(); !strings.Contains(s, "version 7") || !strings.Contains(s, "version 1") {
		t.Errorf("%q does not name both versions", s)
	}
	if _, err := contact.To(b); !errors.As(err, &version) {
		t.Errorf("To: %v", err)
	}
}

func TestBinding(t *testing.T) {
	a, b := []byte("body of a"), []byte("body of b")
	if contact.Binding(a, b, id(1), id(2)) != contact.Binding(b, a, id(2), id(1)) {
		t.Error("the two ends have different bindings")
	}
	if contact.Binding(a, b, id(1), id(2)) == contact.Binding(b, a, id(1), id(2)) {
		t.Error("exchanged bodies have the same binding")
	}
	if contact.Binding([]byte("ab"), []byte("c"), id(1), id(2)) == contact.Binding([]byte("a"), []byte("bc"), id(1), id(2)) {
		t.Error("the border between the bodies is not bound")
	}
}

func FuzzOpen(f *testing.F) {
	good := sign(f, 1, envelope(2, uint64(epoch.UnixMilli()), "parameters"))
	f.Add(good)
	f.Add(good[:90])
	f.Add([]byte{2})
	f.Fuzz(func(t *testing.T, b []byte) {
		to, toErr := contact.To(b)
		e, body, err := contact.Open(b, overlay, id(2), epoch, nil)
		if err != nil {
			return
		}
		if toErr != nil || to != e.To {
			t.Fatalf("opened, but To gives %v, %v", to, toErr)
		}
		again, err := contact.Sign(key(1), overlay, e)
		if err != nil || !bytes.Equal(again, b) || !bytes.Equal(body, contact.Body(e, overlay)) {
			t.Fatalf("not canonical: %v", err)
		}
	})
}
