package nodeid_test

import (
	"crypto/ed25519"
	"testing"

	"evio/overlay/nodeid"
)

func TestFromKey(t *testing.T) {
	key := ed25519.PublicKey(make([]byte, ed25519.PublicKeySize))
	// Computed with coreutils: printf of label, lengths, key and name into sha256sum.
	if got, want := nodeid.FromKey(key, "blue").String(), "d7eef203f51035c06ae1f1c1257c80a9"; got != want {
		t.Errorf("FromKey(zero key, blue) = %s, want %s", got, want)
	}
	if nodeid.FromKey(key, "blue") == nodeid.FromKey(key, "green") {
		t.Error("one key has the same ID in two overlays")
	}
}

func TestParse(t *testing.T) {
	id := nodeid.ID{0: 0xab, 15: 1}
	got, err := nodeid.Parse(id.String())
	if err != nil || got != id {
		t.Errorf("Parse(%s) = %v, %v", id, got, err)
	}
	for _, s := range []string{"", "ab", "zz0000000000000000000000000000000", "zz000000000000000000000000000000"} {
		if _, err := nodeid.Parse(s); err == nil {
			t.Errorf("Parse(%q) accepted", s)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("00000000000000000000000000000000")
	f.Add("xyz")
	f.Fuzz(func(t *testing.T, s string) {
		id, err := nodeid.Parse(s)
		if err != nil {
			return
		}
		back, err := nodeid.Parse(id.String())
		if err != nil || back != id {
			t.Fatalf("%q: %v, %v", s, back, err)
		}
	})
}
