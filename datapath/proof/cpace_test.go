package proof

import (
	"encoding/hex"
	"strings"
	"testing"
)

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestVectors: draft-irtf-cfrg-cpace, appendix B.1, and its vectors of lv_cat.
func TestVectors(t *testing.T) {
	prs, ci := []byte("Password"), []byte("oc\x0bB_responder\x0bA_initiator")
	sid := unhex(t, "7e4b4791d6a8ef019b936c79fb7f2c57")
	check := func(what string, got []byte, want string) {
		t.Helper()
		if hex.EncodeToString(got) != want {
			t.Errorf("%s: %x, want %s", what, got, want)
		}
	}
	check("lv_cat", lvCat([]byte("1234"), []byte("5"), nil, []byte("6789")), "04313233340135000436373839")
	if got := lvCat(make([]byte, 128)); got[0] != 0x80 || got[1] != 1 || len(got) != 130 {
		t.Errorf("a field of 128 bytes begins with %x", got[:2])
	}
	if n := len(generatorString(prs, ci, sid)); n != 172 {
		t.Errorf("the generator string has %d bytes, want 172", n)
	}
	check("g", generator(prs, ci, sid), "64e8099e3ea682cfdc5cb665c057ebb514d06bf23ebc9f743b51b82242327074")
	a, errA := shareOf([32]byte(unhex(t, "21b4f4bd9e64ed355c3eb676a28ebedaf6d8f17bdc365995b319097153044080")), prs, ci, sid)
	b, errB := shareOf([32]byte(unhex(t, "848b0779ff415f0af4ea14df9dd1d3c29ac41d836c7808896c4eba19c51ac40a")), prs, ci, sid)
	if errA != nil || errB != nil {
		t.Fatal(errA, errB)
	}
	check("Ya", a.element, "1b02dad6dbd29a07b6d28c9e04cb2f184f0734350e32bb7e62ff9dbcfdb63d15")
	check("Yb", b.element, "20cda5955f82c4931545bcbf40758ce1010d7db4db2a907013d79c7a8fcf957f")
	k, err := multiply(a.scalar, b.element)
	if err != nil {
		t.Fatal(err)
	}
	check("K", k, "f97fdfcfff1c983ed6283856a401de3191ca919902b323c5f950c9703df7297a")
	check("ISK", isk(sid, k, a.element, []byte("ADa"), b.element, []byte("ADb")),
		"a051ee5ee2499d16da3f69f430218b8ea94a18a45b67f9e86495b382c33d14a5c38cecc0cc834f960e39e0d1bf7d76b9ef5d54eecc5e0f386c97ad12da8c3d5f")
}

// TestPointsOfLowOrder: those of the draft's appendix are refused.
func TestPointsOfLowOrder(t *testing.T) {
	s, err := newShare([]byte("x"), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, point := range []string{
		"0000000000000000000000000000000000000000000000000000000000000000",
		"0100000000000000000000000000000000000000000000000000000000000000",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
		"5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
		"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	} {
		if k, err := multiply(s.scalar, unhex(t, point)); err == nil {
			t.Errorf("%s: %x", point, k)
		}
	}
}
