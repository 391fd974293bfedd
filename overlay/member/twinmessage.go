package member

import (
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"evio/wall"
)

// Question and answer between two connections that show one identity:
//
//	"evio twin" (9) ‖ version (1) = 1 ‖ kind (1) ‖ nonce (16) ‖ start of the process, Unix time in ms (8) ‖ signature (64)
//
// The identity itself signs, so only an engine that has its key can ask or answer,
// and only for the two full JIDs between which the message goes.
const (
	twinMagic   = "evio twin"
	twinVersion = 1
	twinSize    = len(twinMagic) + 1 + 1 + nonceSize + 8 + ed25519.SignatureSize
	nonceSize   = 16
)

// Kinds of twinMessage.
const (
	twinQuestion = 1
	twinAnswer   = 2
)

type twinMessage struct {
	kind  byte
	nonce [nonceSize]byte
	start time.Time // of the sender's process, in whole milliseconds
}

// isTwinMessage tells them from envelopes, which begin with their version.
func isTwinMessage(b []byte) bool {
	return len(b) >= len(twinMagic) && string(b[:len(twinMagic)]) == twinMagic
}

func (m twinMessage) encode(key ed25519.PrivateKey, from, to string) []byte {
	b := append(make([]byte, 0, twinSize), twinMagic...)
	b = append(b, twinVersion, m.kind)
	b = append(b, m.nonce[:]...)
	b = binary.BigEndian.AppendUint64(b, wall.Milliseconds(m.start))
	return append(b, ed25519.Sign(key, twinSigned(b, from, to))...)
}

var errTwinMessage = errors.New("question or answer about a copied identity with a wrong length, version or kind")

func parseTwinMessage(b []byte, key ed25519.PublicKey, from, to string) (twinMessage, error) {
	if len(b) != twinSize || !isTwinMessage(b) || b[len(twinMagic)] != twinVersion {
		return twinMessage{}, errTwinMessage
	}
	head := b[:twinSize-ed25519.SignatureSize]
	m := twinMessage{kind: b[len(twinMagic)+1], nonce: [nonceSize]byte(b[len(twinMagic)+2:])}
	if m.kind != twinQuestion && m.kind != twinAnswer {
		return twinMessage{}, errTwinMessage
	}
	m.start = wall.FromMilliseconds(binary.BigEndian.Uint64(head[len(head)-8:]))
	if !ed25519.Verify(key, twinSigned(head, from, to), b[len(head):]) {
		return twinMessage{}, fmt.Errorf("question or answer about a copied identity from %s is not signed by it", from)
	}
	return m, nil
}

// twinSigned is what the signature covers; it begins with the magic.
func twinSigned(head []byte, from, to string) []byte {
	b := append([]byte(nil), head...)
	for _, jid := range []string{from, to} {
		b = binary.BigEndian.AppendUint32(b, uint32(len(jid)))
		b = append(b, jid...)
	}
	return b
}
