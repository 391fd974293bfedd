package flood

import (
	"crypto/ed25519"
	"encoding/binary"
)

// Signature is an origin's word that a frame is its own: Ed25519 (RFC 8032) over a
// label, the overlay's name with its length before it, the part of the header that
// names the frame, and the frame.
type Signature [ed25519.SignatureSize]byte

// signatureLabel separates these signatures from every other use of the key.
const signatureLabel = "evio flood 1"

// Sign returns the signature of the frame that goes out under header h, by the key of
// its origin.
func Sign(key ed25519.PrivateKey, overlay string, h Header, frame []byte) Signature {
	return Signature(ed25519.Sign(key, signed(overlay, h, frame)))
}

// Verify reports whether the origin, whose key this is, signed the header and the
// frame for the overlay.
func Verify(key ed25519.PublicKey, overlay string, h Header, frame []byte) bool {
	return len(key) == ed25519.PublicKeySize && ed25519.Verify(key, signed(overlay, h, frame), h.Signature[:])
}

func signed(overlay string, h Header, frame []byte) []byte {
	b := make([]byte, 0, len(signatureLabel)+4+len(overlay)+HeaderLen+len(frame))
	b = append(b, signatureLabel...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(overlay)))
	b = append(b, overlay...)
	b = h.appendName(b)
	return append(b, frame...)
}
