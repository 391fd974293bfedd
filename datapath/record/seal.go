package record

import (
	"crypto/cipher"
	"sync/atomic"
)

// Sealer protects the records of one direction and slot. Any number of goroutines may use it
// at once.
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

// Seal turns the plaintexts of a batch into records, which stay there: Runs returns
// them. Their numbers follow each other. If there are too few numbers left for all, it
// seals none and returns ErrExhausted. A sealed batch takes no more records until Reset.
func (s *Sealer) Seal(b *Batch) error {
	number, err := s.reserve(uint64(b.records))
	if err != nil {
		return err
	}
	b.limit = 0
	for _, run := range b.Runs() {
		for at := 0; at < len(run.Bytes); at += run.Size {
			s.seal(run.Bytes[at:min(at+run.Size, len(run.Bytes))], number, &b.nonce)
			number++
		}
	}
	return nil
}

// reserve takes the next n numbers and returns the first of them. Numbers that were refused
// are lost.
func (s *Sealer) reserve(n uint64) (first uint64, err error) {
	end := s.next.Add(n)
	first = end - n
	if end > 1<<numberBits {
		return 0, ErrExhausted
	}
	if first <= rekeyRecords && rekeyRecords < end {
		s.hurry()
	}
	return first, nil
}

// seal writes the header of a record and seals the plaintext between header and tag.
func (s *Sealer) seal(record []byte, number uint64, nonce *[NonceSize]byte) {
	counter := s.prefix | number
	putHeader(record, s.index, counter)
	putNonce(nonce, &s.iv, counter)
	plain := record[HeaderSize : len(record)-TagSize]
	s.aead.Seal(plain[:0], nonce[:], plain, record[:HeaderSize])
}

// hurry asks the owner of the keys for new ones, once for each slot.
func (s *Sealer) hurry() {
	select {
	case s.soon <- struct{}{}:
	default: // another slot has asked
	}
}
