// Package nodeid defines the identifier of a node: one engine's presence in one
// overlay, and its place on the ring.
//
// A node ID is derived from the engine's public key and the overlay's name, so
// nobody can take another's without its private key, and the IDs of one engine
// in two overlays do not tell that they belong together to those who do not know
// the key. Values are immutable and may be used from any goroutine.
package nodeid

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
)

// Size is the length of a node ID in bytes (128 bits).
const Size = 16

// label separates this use of SHA-256 from every other one.
const label = "evio node 1"

// ID is a node ID, read as an unsigned big-endian number on the ring.
type ID [Size]byte

// FromKey returns the ID of the engine with public key pub in the named overlay:
// the first 16 bytes of SHA-256(label ‖ len(pub) ‖ pub ‖ len(overlay) ‖ overlay),
// lengths as 4 bytes big-endian.
func FromKey(pub ed25519.PublicKey, overlay string) ID {
	b := make([]byte, 0, len(label)+8+len(pub)+len(overlay))
	b = append(b, label...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(pub)))
	b = append(b, pub...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(overlay)))
	b = append(b, overlay...)
	sum := sha256.Sum256(b)
	return ID(sum[:Size])
}

// Compare orders IDs as numbers: −1, 0 or +1.
func Compare(a, b ID) int { return bytes.Compare(a[:], b[:]) }

// String returns the ID as 32 hexadecimal digits.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// IsZero reports whether the ID is all zero, which no node has in practice and
// which stands for "none".
func (id ID) IsZero() bool { return id == ID{} }

// Parse reads the form that String writes.
func Parse(s string) (ID, error) {
	var id ID
	if len(s) != 2*Size {
		return ID{}, fmt.Errorf("node ID %q: want %d hexadecimal digits", s, 2*Size)
	}
	if _, err := hex.Decode(id[:], []byte(s)); err != nil {
		return ID{}, fmt.Errorf("node ID %q: %w", s, err)
	}
	return id, nil
}

// MarshalText implements encoding.TextMarshaler.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (id *ID) UnmarshalText(b []byte) error {
	v, err := Parse(string(b))
	if err != nil {
		return err
	}
	*id = v
	return nil
}
