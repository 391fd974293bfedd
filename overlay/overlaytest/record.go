package overlaytest

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"strconv"
)

// Resign returns a record of the directory as a member that lies would say it: with
// another generation and sequence, rightly signed (docs/PROTOCOL.md, Directory).
func Resign(record []byte, key ed25519.PrivateKey, overlay string, generation, sequence uint64) []byte {
	const offGeneration, offSequence = 18, 26
	b := bytes.Clone(record[:len(record)-ed25519.SignatureSize])
	binary.BigEndian.PutUint64(b[offGeneration:], generation)
	binary.BigEndian.PutUint64(b[offSequence:], sequence)
	signed := []byte("evio directory " + strconv.Itoa(int(b[0]))) // the version
	signed = binary.BigEndian.AppendUint32(signed, uint32(len(overlay)))
	signed = append(signed, overlay...)
	return append(b, ed25519.Sign(key, append(signed, b...))...)
}
