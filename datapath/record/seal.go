package record

import (
	"crypto/cipher"
	"sync/atomic"
)

// Buffer holds one record while it is made. A plaintext is built in place, in
// what Plain returns, and sealed there.
type Buffer struct {
	data  [MaxSize]byte
	nonce [NonceSize]byte // here, because an argument of an interface's method is allocated
}

// Plain returns the empty slice to which the plaintext is appended. It has room
// for MaxPlain bytes.
func (b *Buffer) Plain() []byte {
	return b.data[HeaderSize : HeaderSize : MaxSize-TagSize]
}

// Sealer protects the records of one direction and slot.
type Sealer struct {
	aead   cipher.AEAD
	iv     [NonceSize]byte
	prefix uint64 // slot and generation
	index  uint32
	next   atomic.Uint64
	soon   chan<- struct{} // of the keys
}

func (s *Sealer) init(k *Keys, m material, index uint32, slot int) (err error) {
	s.aead, err = k.AEAD.open(m.key)
	s.iv, s.index, s.soon = m.iv, index, k.soon
	s.prefix = uint64(slot)<<slotShift | uint64(k.Generation)<<numberBits
	return err
}

// Seal turns the first n bytes of the buffer's plaintext into a record, which
// stays in the buffer.
func (s *Sealer) Seal(b *Buffer, n int) ([]byte, error) {
	number := s.next.Add(1) - 1
	if number >= rekeyRecords {
		if number >= 1<<numberBits {
			return nil, ErrExhausted
		}
		s.hurry(number)
	}
	counter := s.prefix | number
	putHeader(b.data[:], s.index, counter)
	putNonce(&b.nonce, &s.iv, counter)
	plain := b.data[HeaderSize : HeaderSize+n]
	sealed := s.aead.Seal(plain[:0], b.nonce[:], plain, b.data[:HeaderSize])
	return b.data[:HeaderSize+len(sealed)], nil
}

// hurry asks the owner of the keys for new ones, once for each slot.
func (s *Sealer) hurry(number uint64) {
	if number > rekeyRecords {
		return
	}
	select {
	case s.soon <- struct{}{}:
	default: // another slot has asked
	}
}
