package flood_test

import (
	"crypto/ed25519"
	"encoding/hex"
	"testing"

	"evio/overlay/flood"
	"evio/overlay/nodeid"
)

func TestSignatureCoversWhatNamesTheFrame(t *testing.T) {
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	public := key.Public().(ed25519.PublicKey)
	frame := []byte("frame")
	good := flood.Header{Origin: id(1), Start: 2, Seq: 3, Time: 4, ArcEnd: id(5)}
	good.Signature = flood.Sign(key, "lan", good, frame)

	handedOn := good
	handedOn.ArcEnd = id(9)
	if !flood.Verify(public, "lan", good, frame) || !flood.Verify(public, "lan", handedOn, frame) {
		t.Error("refused")
	}
	for name, change := range map[string]func(*flood.Header){
		"another origin":    func(h *flood.Header) { h.Origin = nodeid.ID{1, 1} },
		"another start":     func(h *flood.Header) { h.Start++ },
		"another number":    func(h *flood.Header) { h.Seq++ },
		"another time":      func(h *flood.Header) { h.Time++ },
		"another signature": func(h *flood.Header) { h.Signature[63] ^= 1 },
		"no signature":      func(h *flood.Header) { h.Signature = flood.Signature{} },
	} {
		h := good
		change(&h)
		if flood.Verify(public, "lan", h, frame) {
			t.Errorf("%s: accepted", name)
		}
	}
	other := ed25519.NewKeyFromSeed(append(make([]byte, ed25519.SeedSize-1), 1))
	for name, accepted := range map[string]bool{
		"another overlay":           flood.Verify(public, "la", good, append([]byte("n"), frame...)),
		"another frame":             flood.Verify(public, "lan", good, []byte("Frame")),
		"a frame with a byte more":  flood.Verify(public, "lan", good, append(frame, 0)),
		"a frame with a byte fewer": flood.Verify(public, "lan", good, frame[:4]),
		"another key":               flood.Verify(other.Public().(ed25519.PublicKey), "lan", good, frame),
		"no key":                    flood.Verify(nil, "lan", good, frame),
	} {
		if accepted {
			t.Errorf("%s: accepted", name)
		}
	}
}

// TestSignatureGolden: engines of all versions sign the same bytes.
func TestSignatureGolden(t *testing.T) {
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	h := flood.Header{Origin: nodeid.ID{0: 1, 15: 2}, Start: 3, Seq: 4, Time: 5}
	s := flood.Sign(key, "lan", h, []byte("frame"))
	signed := "evio flood 1\x00\x00\x00\x03lan\x01" + string(make([]byte, 14)) + "\x02" +
		"\x00\x00\x00\x00\x00\x00\x00\x03" + "\x00\x00\x00\x00\x00\x00\x00\x04" + "\x00\x00\x00\x00\x00\x00\x00\x05" + "frame"
	if !ed25519.Verify(key.Public().(ed25519.PublicKey), []byte(signed), s[:]) {
		t.Errorf("signature %s is not of %q", hex.EncodeToString(s[:]), signed)
	}
}

func BenchmarkVerify(b *testing.B) {
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	public, frame := key.Public().(ed25519.PublicKey), make([]byte, 1414)
	h := flood.Header{Origin: id(1)}
	h.Signature = flood.Sign(key, "lan", h, frame)
	for b.Loop() {
		if !flood.Verify(public, "lan", h, frame) {
			b.Fatal("refused")
		}
	}
}

func BenchmarkSign(b *testing.B) {
	key, frame := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)), make([]byte, 1414)
	for b.Loop() {
		flood.Sign(key, "lan", flood.Header{Origin: id(1)}, frame)
	}
}
