package member

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"

	"evio/overlay/nodeid"
)

// The presence extension: what an engine tells every account that may see its
// presence. The overlays stand as node IDs, which are hashes of the overlay's
// name salted with the key, so that only those who know a name recognise it. The
// key signs for the account that shows it, so that nobody shows the key of another.
//
//	version (1) = 1 ‖ lowest and highest protocol version (1 + 1) ‖ public key (32) ‖ signature (64) ‖ count (1, at most 64) ‖ node IDs (16 each)
//
// Whatever follows belongs to a later version and is skipped.
const (
	extensionVersion = 1
	maxNodes         = 64
	extensionHead    = 1 + 2 + ed25519.PublicKeySize + ed25519.SignatureSize + 1
	extensionMagic   = "evio presence 1" // what the signature covers begins with it
)

// Lowest and highest protocol version that this engine speaks.
const (
	MinVersion = 2
	MaxVersion = 2
)

type extension struct {
	Min, Max uint8
	Key      ed25519.PublicKey
	Proof    []byte // by the key, for one account
	Nodes    []nodeid.ID
}

func (e extension) encode() []byte {
	nodes := e.Nodes[:min(len(e.Nodes), maxNodes)]
	b := append(make([]byte, 0, extensionHead+len(nodes)*nodeid.Size), extensionVersion, MinVersion, MaxVersion)
	b = append(b, e.Key...)
	b = append(b, e.Proof...)
	b = append(b, byte(len(nodes)))
	for _, n := range nodes {
		b = append(b, n[:]...)
	}
	return b
}

func parseExtension(b []byte) (extension, error) {
	if len(b) < extensionHead {
		return extension{}, fmt.Errorf("presence extension of %d bytes, want at least %d", len(b), extensionHead)
	}
	if b[0] != extensionVersion {
		return extension{}, fmt.Errorf("presence extension of version %d, want %d", b[0], extensionVersion)
	}
	key, proof := b[3:3+ed25519.PublicKeySize], b[3+ed25519.PublicKeySize:extensionHead-1]
	e := extension{Min: b[1], Max: b[2], Key: bytes.Clone(key), Proof: bytes.Clone(proof)}
	if e.Min > e.Max {
		return extension{}, fmt.Errorf("presence extension with versions %d to %d", e.Min, e.Max)
	}
	count := int(b[extensionHead-1])
	rest := b[extensionHead:]
	if count > maxNodes || len(rest) < count*nodeid.Size {
		return extension{}, errors.New("presence extension with more overlays than fit it")
	}
	for i := range count {
		e.Nodes = append(e.Nodes, nodeid.ID(rest[i*nodeid.Size:]))
	}
	return e, nil
}

// proofFor is the signature by which an account, a bare JID, shows that it has the key.
func proofFor(jid string, key ed25519.PrivateKey) []byte {
	return ed25519.Sign(key, []byte(extensionMagic+jid))
}

// proves returns an error if the account, a bare JID, has not shown that it has the key.
func (e extension) proves(jid string) error {
	if !ed25519.Verify(e.Key, []byte(extensionMagic+jid), e.Proof) {
		return fmt.Errorf("%s shows identity %s without a proof that it has the key: the identity is another engine's, find out who uses the account", jid, Fingerprint(e.Key))
	}
	return nil
}

// compatible returns an error that names both ranges if they share no version.
func (e extension) compatible() error {
	if e.Max < MinVersion || e.Min > MaxVersion {
		return fmt.Errorf("it speaks protocol versions %d to %d, this engine %d to %d: upgrade the older one", e.Min, e.Max, MinVersion, MaxVersion)
	}
	return nil
}
