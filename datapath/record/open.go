package record

import (
	"crypto/cipher"
	"encoding/binary"

	"evio/internal/replay"
)

// WindowSize is how far behind the highest number a record may arrive.
const WindowSize = 8192

// window tells the numbers of a direction and slot apart.
type window = replay.Window[[WindowSize/64 + 1]uint64]

// opener opens the records of one direction and slot.
type opener struct {
	aead   cipher.AEAD
	iv     [NonceSize]byte
	nonce  [NonceSize]byte
	window window
}

func (o *opener) init(aead AEAD, m material) (err error) {
	o.aead, err = aead.open(m.key)
	o.iv = m.iv
	return err
}

// Open verifies a record and returns its plaintext, which lies in the bytes of
// the record. A record that does not open changes nothing, in particular not
// the replay window; its bytes are lost all the same. Calls of one Keys must not overlap;
// other methods of Keys and its sealers may be used meanwhile.
func (k *Keys) Open(record []byte) ([]byte, error) {
	if len(record) < Overhead || record[0] != First {
		return nil, ErrShort
	}
	counter := binary.BigEndian.Uint64(record[5:])
	slot := counter >> slotShift
	if slot >= Slots || uint8(counter>>numberBits) != k.Generation {
		return nil, ErrSlot
	}
	o := &k.open[slot]
	number := counter & (1<<numberBits - 1)
	if !o.window.Fresh(number) {
		return nil, ErrReplay
	}
	putNonce(&o.nonce, &o.iv, counter)
	body := record[HeaderSize:]
	plain, err := o.aead.Open(body[:0], o.nonce[:], body, record[:HeaderSize])
	if err != nil {
		return nil, ErrForged
	}
	o.window.Mark(number)
	return plain, nil
}
