package directory

import (
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"evio/overlay/nodeid"
	"evio/wall"
)

// MaxRecord bounds a record, in bytes.
const MaxRecord = 512

const recordVersion = 2

// recordLabel separates these signatures from every other use of the key.
const recordLabel = "evio directory 2"

const (
	flagWithdrawn = 1 << iota
	flagTaken
	flagReleased
	flagDisputed
	flagFollows
)

// Layout of a record, numbers big-endian; other flags and what stands before the
// signature are for later fields, signed and skipped.
//
//	0   1  version
//	1   1  flags
//	2  16  owner
//	18  8  generation
//	26  8  sequence
//	34  8  expiry, Unix time in milliseconds
//	42  8  life
//	50  6  MAC address
//	56  1  length of the prefix of a range, otherwise 0
//	57  1  length of the address: 0, 4 or 16
//	58     address
//	   16  with flagFollows: node that is followed
//	    8  with flagFollows: for how long, in milliseconds
//	   64  Ed25519 signature of label, length and name of the overlay, and all above
const (
	offOwner      = 2
	offGeneration = offOwner + nodeid.Size
	offSequence   = offGeneration + 8
	offExpiry     = offSequence + 8
	offLife       = offExpiry + 8
	offMAC        = offLife + 8
	offBits       = offMAC + 6
	offLength     = offBits + 1
	offAddr       = offLength + 1

	followsSize = nodeid.Size + 8
	maxAge      = 1 << 40 // milliseconds
)

// Reasons for which Apply refuses a record.
var (
	ErrRecord    = errors.New("malformed directory record")
	ErrVersion   = errors.New("directory record of an unknown version")
	ErrSubnet    = errors.New("directory record for an address outside the network's subnets, or a range that is a whole one")
	ErrMember    = errors.New("directory record of a node that is not a member")
	ErrSignature = errors.New("directory record with a wrong signature, or of another overlay")
	ErrTime      = errors.New("directory record outside its time: compare the clocks of the two engines")
	ErrIdentity  = errors.New("directory record signed by our own identity but not by us: another engine uses a copy of it")
	ErrTooMany   = errors.New("directory record beyond the keys that one node may claim")
)

// sign encodes a claim as a record.
func sign(priv ed25519.PrivateKey, overlay string, c Claim) []byte {
	var flags byte
	for i, set := range []bool{c.Withdrawn, c.Taken, c.Released, c.Disputed, !c.Follows.IsZero()} {
		if set {
			flags |= 1 << i
		}
	}
	b := make([]byte, 0, offAddr+16+followsSize+ed25519.SignatureSize)
	b = append(b, recordVersion, flags)
	b = append(b, c.Owner[:]...)
	b = binary.BigEndian.AppendUint64(b, c.Generation)
	b = binary.BigEndian.AppendUint64(b, c.Sequence)
	b = binary.BigEndian.AppendUint64(b, wall.Milliseconds(c.Expiry))
	b = binary.BigEndian.AppendUint64(b, c.Life)
	b = append(b, c.MAC[:]...)
	addr := c.Addr.AsSlice()
	b = append(b, c.Bits, byte(len(addr)))
	b = append(b, addr...)
	if !c.Follows.IsZero() {
		b = append(b, c.Follows[:]...)
		b = binary.BigEndian.AppendUint64(b, uint64(max(0, c.signed().Sub(c.Since).Milliseconds())))
	}
	return append(b, ed25519.Sign(priv, signed(b, overlay))...)
}

// verify checks the signature of a record that was parsed.
func verify(pub ed25519.PublicKey, overlay string, record []byte) bool {
	n := len(record) - ed25519.SignatureSize
	return ed25519.Verify(pub, signed(record[:n], overlay), record[n:])
}

func signed(b []byte, overlay string) []byte {
	m := make([]byte, 0, len(recordLabel)+4+len(overlay)+len(b))
	m = append(m, recordLabel...)
	m = binary.BigEndian.AppendUint32(m, uint32(len(overlay)))
	m = append(m, overlay...)
	return append(m, b...)
}

// parse decodes a record without verifying it and checks all that can be told
// from it alone.
func parse(b []byte) (Claim, error) {
	switch {
	case len(b) == 0 || len(b) > MaxRecord:
		return Claim{}, fmt.Errorf("%w: %d bytes", ErrRecord, len(b))
	case b[0] != recordVersion:
		return Claim{}, fmt.Errorf("%w: %d", ErrVersion, b[0])
	case len(b) < offAddr+ed25519.SignatureSize,
		len(b) < offAddr+int(b[offLength])+ed25519.SignatureSize:
		return Claim{}, fmt.Errorf("%w: %d bytes", ErrRecord, len(b))
	}
	flags := b[1]
	c := Claim{
		Owner:      nodeid.ID(b[offOwner:offGeneration]),
		Generation: binary.BigEndian.Uint64(b[offGeneration:]),
		Sequence:   binary.BigEndian.Uint64(b[offSequence:]),
		Expiry:     wall.FromMilliseconds(binary.BigEndian.Uint64(b[offExpiry:])),
		Life:       binary.BigEndian.Uint64(b[offLife:]),
		MAC:        MAC(b[offMAC:offBits]),
		Bits:       b[offBits],
		Withdrawn:  flags&flagWithdrawn != 0,
		Taken:      flags&flagTaken != 0,
		Released:   flags&flagReleased != 0,
		Disputed:   flags&flagDisputed != 0,
	}
	n := int(b[offLength])
	if n != 0 {
		addr, ok := netip.AddrFromSlice(b[offAddr : offAddr+n])
		if !ok {
			return Claim{}, fmt.Errorf("%w: address of %d bytes", ErrRecord, n)
		}
		c.Addr = addr
	}
	if flags&flagFollows != 0 {
		rest := b[offAddr+n : len(b)-ed25519.SignatureSize]
		if len(rest) < followsSize {
			return Claim{}, fmt.Errorf("%w: %d bytes", ErrRecord, len(b))
		}
		c.Follows = nodeid.ID(rest[:nodeid.Size])
		age := binary.BigEndian.Uint64(rest[nodeid.Size:])
		if c.Follows.IsZero() || c.Follows == c.Owner || age > maxAge {
			return Claim{}, fmt.Errorf("%w: follows nobody", ErrRecord)
		}
		c.Since = c.signed().Add(-time.Duration(age) * time.Millisecond)
	}
	return c, c.check()
}

// check reports whether the fields make sense together.
func (c Claim) check() error {
	switch k, follows := c.Key(), !c.Follows.IsZero(); {
	case c.Sequence < c.Life:
		return fmt.Errorf("%w: of before its owner's life", ErrRecord)
	case k == (Key{}):
		if !c.Withdrawn || follows || c.Generation != 0 || c.Bits != 0 {
			return fmt.Errorf("%w: claims nothing", ErrRecord)
		}
		return nil
	case follows && (c.Withdrawn || c.Taken || c.Released || c.Disputed || c.Generation != 0),
		c.Released && !c.Withdrawn, k.isMAC() && c.Bits != 0:
		return fmt.Errorf("%w: contradicts itself", ErrRecord)
	case !follows && (c.Generation == 0 || c.Generation > maxGeneration):
		return fmt.Errorf("%w: generation %d", ErrRecord, c.Generation)
	case k.Bits > 0:
		if p := k.prefix(); !p.IsValid() || p != p.Masked() || p.Addr().Is4In6() || c.Taken || c.MAC != (MAC{}) {
			return fmt.Errorf("%w: %v", ErrRecord, k)
		}
		return nil
	case follows && k.isAddr() != (c.MAC == MAC{}), (!follows || k.isMAC()) && !unicast(c.MAC):
		return fmt.Errorf("%w: %v is not the MAC address of one station", ErrRecord, Key{MAC: c.MAC})
	case k.isAddr() && !assignable(c.Addr):
		return fmt.Errorf("%w: %v cannot be assigned to a container", ErrRecord, k)
	}
	return nil
}

func unicast(m MAC) bool { return m[0]&1 == 0 && m != MAC{} }

func assignable(a netip.Addr) bool {
	return !a.Is4In6() && a.Zone() == "" && (a.IsGlobalUnicast() || a.IsLinkLocalUnicast())
}

// timely reports whether a record that arrives at wall time now may be as old as it says.
func timely(expiry, now time.Time) bool {
	return !expiry.Before(now.Add(-Skew)) && !expiry.After(now.Add(Lifetime+Skew))
}
