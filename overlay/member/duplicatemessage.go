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
	duplicateMagic   = "evio twin"
	duplicateVersion = 1
	duplicateSize    = len(duplicateMagic) + 1 + 1 + nonceSize + 8 + ed25519.SignatureSize
	nonceSize        = 16
)

// Kinds of duplicateMessage.
const (
	duplicateQuestion = 1
	duplicateAnswer   = 2
)

type duplicateMessage struct {
	kind  byte
	nonce [nonceSize]byte
	start time.Time // of the sender's process, in whole milliseconds
}

// isDuplicateMessage tells them from envelopes, which begin with their version.
func isDuplicateMessage(b []byte) bool {
	return len(b) >= len(duplicateMagic) && string(b[:len(duplicateMagic)]) == duplicateMagic
}

func (m duplicateMessage) encode(key ed25519.PrivateKey, from, to string) []byte {
	b := append(make([]byte, 0, duplicateSize), duplicateMagic...)
	b = append(b, duplicateVersion, m.kind)
	b = append(b, m.nonce[:]...)
	b = binary.BigEndian.AppendUint64(b, wall.Milliseconds(m.start))
	return append(b, ed25519.Sign(key, duplicateSigned(b, from, to))...)
}

var errDuplicateMessage = errors.New("question or answer about a copied identity with a wrong length, version or kind")

func parseDuplicateMessage(b []byte, key ed25519.PublicKey, from, to string) (duplicateMessage, error) {
	if len(b) != duplicateSize || !isDuplicateMessage(b) || b[len(duplicateMagic)] != duplicateVersion {
		return duplicateMessage{}, errDuplicateMessage
	}
	head := b[:duplicateSize-ed25519.SignatureSize]
	m := duplicateMessage{kind: b[len(duplicateMagic)+1], nonce: [nonceSize]byte(b[len(duplicateMagic)+2:])}
	if m.kind != duplicateQuestion && m.kind != duplicateAnswer {
		return duplicateMessage{}, errDuplicateMessage
	}
	m.start = wall.FromMilliseconds(binary.BigEndian.Uint64(head[len(head)-8:]))
	if !ed25519.Verify(key, duplicateSigned(head, from, to), b[len(head):]) {
		return duplicateMessage{}, fmt.Errorf("question or answer about a copied identity from %s is not signed by it", from)
	}
	return m, nil
}

// duplicateSigned is what the signature covers; it begins with the magic.
func duplicateSigned(head []byte, from, to string) []byte {
	b := append([]byte(nil), head...)
	for _, jid := range []string{from, to} {
		b = binary.BigEndian.AppendUint32(b, uint32(len(jid)))
		b = append(b, jid...)
	}
	return b
}
