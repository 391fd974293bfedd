package record

import (
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"fmt"

	"golang.org/x/crypto/chacha20poly1305"
	"golang.org/x/sys/cpu"
)

// NonceSize is the size of a nonce and an IV.
const NonceSize = 12

// AEAD is a cipher that protects records; the values are sent to peers.
//
// AES has keys of 128 bits: the keys come from X25519 and SHA-256, which give
// no more against a classical attacker, and each key and IV is used by one
// direction of one slot only, so longer keys would cost rounds and buy nothing.
type AEAD uint8

// Ciphers.
const (
	AES128GCM        AEAD = 1
	ChaCha20Poly1305 AEAD = 2
)

// String returns the name of the cipher.
func (a AEAD) String() string {
	switch a {
	case AES128GCM:
		return "AES-128-GCM"
	case ChaCha20Poly1305:
		return "ChaCha20-Poly1305"
	default:
		return fmt.Sprintf("AEAD %d", uint8(a))
	}
}

// Supported returns the ciphers of this machine, the fastest first.
func Supported() []AEAD {
	if cpu.X86.HasAES && cpu.X86.HasPCLMULQDQ || cpu.ARM64.HasAES && cpu.ARM64.HasPMULL || cpu.S390X.HasAESGCM {
		return []AEAD{AES128GCM, ChaCha20Poly1305}
	}
	return []AEAD{ChaCha20Poly1305, AES128GCM}
}

// ErrNoCommonAEAD is returned by Choose.
var ErrNoCommonAEAD = errors.New("no cipher in common with the peer")

// Choose returns the cipher that two preference lists agree on: the one with
// the lowest sum of places, of two such the one with the lower number. Both
// ends find the same.
func Choose(a, b []AEAD) (AEAD, error) {
	var best AEAD
	lowest := len(a) + len(b)
	for i, x := range a {
		for j, y := range b {
			if x != y || x.keySize() == 0 {
				continue
			}
			if i+j < lowest || i+j == lowest && x < best {
				best, lowest = x, i+j
			}
		}
	}
	if best == 0 {
		return 0, ErrNoCommonAEAD
	}
	return best, nil
}

func (a AEAD) keySize() int {
	switch a {
	case AES128GCM:
		return 16
	case ChaCha20Poly1305:
		return chacha20poly1305.KeySize
	default:
		return 0
	}
}

func (a AEAD) open(key []byte) (cipher.AEAD, error) {
	switch a {
	case AES128GCM:
		block, err := aes.NewCipher(key)
		if err != nil {
			return nil, err
		}
		return cipher.NewGCM(block)
	case ChaCha20Poly1305:
		return chacha20poly1305.New(key)
	default:
		return nil, fmt.Errorf("%v: not one of ours", a)
	}
}
