// Package identity keeps the long-lived key of an engine: one Ed25519 key pair,
// made at the first start, from which node IDs are derived and with which
// certificates, parameters and directory records are signed.
package identity

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"
)

// fileName is the key's file in the state directory, mode 0600, PEM: the public half
// (RFC 8410), then the private key (PKCS #8, RFC 5958). A private key of Ed25519 has
// nothing that tells a damaged one; only the public half does. Files of versions before
// it was written have the private key alone.
const fileName = "identity.pem"

const (
	pemType       = "PRIVATE KEY"
	pemTypePublic = "PUBLIC KEY"
)

// Load returns the identity kept in dir and makes one if there is none. A file
// that is there but cannot be used is an error and is left as it is: a new
// identity in its place would be refused by every peer that knows the old one.
func Load(dir string) (ed25519.PrivateKey, error) {
	path := filepath.Join(dir, fileName)
	b, err := os.ReadFile(path) //nolint:gosec // the state directory is the operator's setting
	if errors.Is(err, fs.ErrNotExist) {
		return create(dir, path)
	}
	if err != nil {
		return nil, fmt.Errorf("read identity: %w: make it a file that root can read in a state directory that is one; it is tried again every 2 s", err)
	}
	key, err := parse(b)
	if err != nil {
		return nil, fmt.Errorf("identity %s: %w: restore it from a backup, or remove it to start with a new identity that peers must accept", path, err)
	}
	return key, nil
}

func create(dir, path string) (ed25519.PrivateKey, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make identity: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("make identity: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("keep identity: %w: %s", err, keepAdvice)
	}
	spki, err := x509.MarshalPKIXPublicKey(Public(key))
	if err != nil {
		return nil, fmt.Errorf("make identity: %w", err)
	}
	b := pem.EncodeToMemory(&pem.Block{Type: pemTypePublic, Bytes: spki})
	b = append(b, pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: der})...)
	if err := renameio.WriteFile(path, b, 0o600, renameio.WithTempDir(dir)); err != nil {
		return nil, fmt.Errorf("keep identity: %w: %s", err, keepAdvice)
	}
	return key, nil
}

const keepAdvice = "make the state directory one that can be written to and has room; it is tried again every 2 s"

func parse(b []byte) (ed25519.PrivateKey, error) {
	var public []byte
	block, rest := pem.Decode(b)
	if block != nil && block.Type == pemTypePublic {
		public = block.Bytes
		block, _ = pem.Decode(rest)
	}
	if block == nil || block.Type != pemType {
		return nil, errors.New("no PEM block " + pemType)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("not a PKCS #8 key: %w", err)
	}
	key, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("a %T, want Ed25519", parsed)
	}
	if public == nil {
		return key, nil
	}
	spki, err := x509.MarshalPKIXPublicKey(Public(key))
	if err != nil || !bytes.Equal(spki, public) {
		return nil, errors.Join(errors.New("its two halves do not belong together, so one is damaged"), err)
	}
	return key, nil
}

// Public returns the public half of an identity.
func Public(key ed25519.PrivateKey) ed25519.PublicKey {
	return ed25519.PublicKey(key[ed25519.PrivateKeySize-ed25519.PublicKeySize:])
}
