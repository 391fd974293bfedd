package proof

import (
	"crypto/ecdh"
	"crypto/rand"
	"crypto/sha512"
	"fmt"

	"filippo.io/edwards25519/field"
)

// CPACE-X25519-SHA512 of draft-irtf-cfrg-cpace: section 7.1 has the generator, section 7.2
// the group, section 6 the exchange.
const (
	elementSize = 32
	iskSize     = sha512.Size

	dsi    = "CPace255"
	dsiISK = "CPace255_ISK"
)

// share is one end's part of one exchange.
type share struct {
	scalar  *ecdh.PrivateKey
	element []byte
}

// newShare makes a random multiple of the generator that a secret leads to.
func newShare(secret, ci, sid []byte) (share, error) {
	var scalar [32]byte
	_, _ = rand.Read(scalar[:]) // never fails
	return shareOf(scalar, secret, ci, sid)
}

func shareOf(scalar [32]byte, secret, ci, sid []byte) (share, error) {
	key, err := ecdh.X25519().NewPrivateKey(scalar[:])
	if err != nil {
		return share{}, fmt.Errorf("scalar of an exchange: %w", err)
	}
	element, err := multiply(key, generator(secret, ci, sid))
	if err != nil {
		return share{}, fmt.Errorf("element of an exchange: %w", err)
	}
	return share{key, element}, nil
}

// multiply is X25519 (RFC 7748). It refuses a result that is the neutral element, so points
// of low order are refused.
func multiply(scalar *ecdh.PrivateKey, point []byte) ([]byte, error) {
	p, err := ecdh.X25519().NewPublicKey(point)
	if err != nil {
		return nil, err
	}
	return scalar.ECDH(p)
}

// isk is the intermediate session key of the initiator's and the responder's messages;
// k is the common point.
func isk(sid, k, ya, ada, yb, adb []byte) []byte {
	sum := sha512.Sum512(lvCat([]byte(dsiISK), sid, k, ya, ada, yb, adb))
	return sum[:]
}

// generator maps what both ends have in common to a point.
func generator(prs, ci, sid []byte) []byte {
	sum := sha512.Sum512(generatorString(prs, ci, sid))
	return elligator2(sum[:elementSize])
}

func generatorString(prs, ci, sid []byte) []byte {
	pad := max(0, sha512.BlockSize-1-len(lvCat(prs))-len(lvCat([]byte(dsi))))
	return lvCat([]byte(dsi), prs, make([]byte, pad), ci, sid)
}

// lvCat joins fields, each behind its length in LEB128.
func lvCat(fields ...[]byte) []byte {
	var out []byte
	for _, f := range fields {
		n := len(f)
		for ; n >= 0x80; n >>= 7 {
			out = append(out, byte(n)|0x80)
		}
		out = append(append(out, byte(n)), f...)
	}
	return out
}

// elligator2 maps 32 bytes to the u-coordinate of a point on Curve25519 (RFC 9380 section
// 6.7.1, with Z = 2), in a time that tells nothing of them.
func elligator2(b []byte) []byte {
	const a = 486662
	one := new(field.Element).One()
	var r, x, minusA, t, gx, other field.Element
	_, _ = r.SetBytes(b)       // the length is right; the highest bit counts for nothing
	t.Square(&r)               //
	t.Add(&t, &t).Add(&t, one) // 1 + 2r², which is never 0
	minusA.Mult32(one, a).Negate(&minusA)
	x.Multiply(&minusA, t.Invert(&t))

	// x is on the curve if x³ + a·x² + x is a square, otherwise −x − a is.
	gx.Mult32(&x, a)
	t.Square(&x)
	gx.Add(&gx, &t).Add(&gx, one)
	gx.Multiply(&gx, &x)
	_, square := t.SqrtRatio(&gx, one)
	other.Negate(&x).Add(&other, &minusA)
	return x.Select(&x, &other, square).Bytes()
}
