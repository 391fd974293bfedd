package record

import (
	"encoding/binary"
	"errors"
)

// The frame of a record.
const (
	First = 193 // first byte of every record

	HeaderSize = 13
	TagSize    = 16
	Overhead   = HeaderSize + TagSize // what a record adds to its plaintext

	// MaxSize is the size of a full record: 1,500 bytes less IPv6 and UDP
	// headers (40 + 8).
	MaxSize = 1452
	// Slots is the number of slots in each direction: one for each path.
	Slots = 4

	numberBits = 48
	slotShift  = 56

	// rekeyRecords is the number of records of a slot after which its keys should
	// be replaced, long before they must be.
	rekeyRecords = 1 << 40
)

// Reasons for which a datagram is no record of the session.
var (
	ErrShort  = errors.New("record is shorter than its header and tag")
	ErrSlot   = errors.New("record names a slot or generation that does not exist")
	ErrForged = errors.New("record does not open under the session's keys")
	ErrReplay = errors.New("record was seen before or is older than the window")
)

// ErrExhausted is returned when a slot has protected 2^48 records.
var ErrExhausted = errors.New("keys have protected all the records they may")

// Index returns the session index that a datagram is addressed to.
func Index(datagram []byte) (index uint32, ok bool) {
	if len(datagram) < Overhead || datagram[0] != First {
		return 0, false
	}
	return binary.BigEndian.Uint32(datagram[1:]), true
}

// Generation returns the generation of keys that a datagram names; Index
// has said that it is a record.
func Generation(datagram []byte) uint8 { return datagram[6] }

func putHeader(b []byte, index uint32, counter uint64) {
	_ = b[HeaderSize-1]
	b[0] = First
	binary.BigEndian.PutUint32(b[1:], index)
	binary.BigEndian.PutUint64(b[5:], counter)
}

// putNonce writes iv with the counter exclusive-ored into its last 8 bytes.
func putNonce(nonce, iv *[NonceSize]byte, counter uint64) {
	*nonce = *iv
	tail := nonce[NonceSize-8:]
	binary.BigEndian.PutUint64(tail, binary.BigEndian.Uint64(tail)^counter)
}
