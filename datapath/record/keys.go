package record

import (
	"crypto/hkdf"
	"crypto/sha256"
	"fmt"
)

// Secrets are what the keys of a session are made from.
type Secrets struct {
	Exporter []byte   // keying material of the handshake (RFC 5705)
	Salt     []byte   // what the proof of the overlay's secret has given; nil stands for zeros (RFC 5869 section 2.2)
	Binding  [32]byte // hash of both parameter sets, in the order of node IDs
	AEAD     AEAD
	Lower    bool   // this end has the lower node ID
	Remote   uint32 // session index of the other end

	// Generation numbers the sets of keys that a session has one after the other.
	// It is in every record, not in the keys: those of each set come from a
	// handshake of their own.
	Generation uint8
}

// Keys are the keys of both directions, of one generation. A set is replaced as a
// whole.
type Keys struct {
	AEAD       AEAD
	Generation uint8
	Send       [Slots]Sealer
	open       [Slots]opener
	soon       chan struct{}
}

// Soon receives once a slot has protected 2^40 records: it is time for new keys.
func (k *Keys) Soon() <-chan struct{} { return k.soon }

// directions of records, by the node ID of the sender.
const (
	fromLower  = 0
	fromHigher = 1
)

// Derive makes the keys: HKDF-SHA-256 (RFC 5869) over the exporter secret, with
// one expansion for each direction and slot.
func Derive(s Secrets) (*Keys, error) {
	extracted, err := hkdf.Extract(sha256.New, s.Exporter, s.Salt)
	if err != nil {
		return nil, fmt.Errorf("extract keys: %w", err)
	}
	keys := &Keys{AEAD: s.AEAD, Generation: s.Generation, soon: make(chan struct{}, 1)}
	sending, receiving := byte(fromHigher), byte(fromLower)
	if s.Lower {
		sending, receiving = receiving, sending
	}
	for slot := range Slots {
		send, err := expand(extracted, &s, sending, byte(slot))
		if err != nil {
			return nil, err
		}
		receive, err := expand(extracted, &s, receiving, byte(slot))
		if err != nil {
			return nil, err
		}
		if err := keys.Send[slot].init(keys, send, s.Remote, slot); err != nil {
			return nil, err
		}
		if err := keys.open[slot].init(s.AEAD, receive); err != nil {
			return nil, err
		}
	}
	return keys, nil
}

// material is the key and IV of one direction and slot.
type material struct {
	key []byte
	iv  [NonceSize]byte
}

func expand(extracted []byte, s *Secrets, direction, slot byte) (material, error) {
	size := s.AEAD.keySize()
	if size == 0 {
		return material{}, fmt.Errorf("derive keys: %v is not one of ours", s.AEAD)
	}
	info := append([]byte("evio1"), s.Binding[:]...)
	info = append(info, direction, slot)
	okm, err := hkdf.Expand(sha256.New, extracted, string(info), size+NonceSize)
	if err != nil {
		return material{}, fmt.Errorf("expand keys: %w", err)
	}
	return material{key: okm[:size], iv: [NonceSize]byte(okm[size:])}, nil
}
