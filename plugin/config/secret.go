package config

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
)

const (
	// maxSecret bounds a password or secret, in bytes.
	maxSecret = 1024
	// minOverlaySecret is the least length of an overlay secret in bytes: no more than a
	// guard against words. 16 random bytes are 128 bits; 16 letters that somebody has
	// thought of are far fewer.
	minOverlaySecret = 16
	// maxPEM bounds a file of certificates or keys, in bytes.
	maxPEM = 1 << 20
)

// ReadPassword returns the first line of the file at p, a path as seen from here.
// The file may be replaced at any time, so it is read at each use. Its content is
// never part of an error; so it is with every function here.
func ReadPassword(p string) (string, error) {
	line, err := readSecret(p, "password")
	return string(line), err
}

// ReadTURNSecret returns the secret that a TURN server shares with its users.
func ReadTURNSecret(p string) (string, error) {
	line, err := readSecret(p, "TURN secret")
	return string(line), err
}

// ReadOverlaySecrets returns the secrets of an overlay: that of the first line, and that of
// the second if there is one.
func ReadOverlaySecrets(p string) ([][]byte, error) {
	const noun = "overlay secret"
	b, err := readPrivate(p, noun, 2*(maxSecret+2)+1)
	if err != nil {
		return nil, err
	}
	first, rest, _ := bytes.Cut(b, []byte("\n"))
	line, err := checkSecret(p, noun, "first", first)
	if err != nil {
		return nil, err
	}
	if len(line) < minOverlaySecret {
		return nil, fmt.Errorf("overlay secret file %s has %d bytes in its first line: write at least %d there, the same for all engines of the overlay", p, len(line), minOverlaySecret)
	}
	second, beyond, _ := bytes.Cut(rest, []byte("\n"))
	if len(bytes.TrimSpace(rest)) == 0 {
		return [][]byte{line}, nil
	}
	other, err := checkSecret(p, noun, "second", second)
	switch {
	case err != nil:
		return nil, err
	case len(other) < minOverlaySecret:
		return nil, fmt.Errorf("overlay secret file %s has %d bytes in its second line: write at least %d there, or leave it out", p, len(other), minOverlaySecret)
	case len(bytes.TrimSpace(beyond)) > 0:
		return nil, fmt.Errorf("overlay secret file %s has more than two lines: write the secret on the first, and while it is being replaced the other one on the second", p)
	case bytes.Equal(line, other):
		return [][]byte{line}, nil
	}
	return [][]byte{line, other}, nil
}

// ReadKeyPair returns a client certificate and its private key.
func ReadKeyPair(certificate, key string) (*tls.Certificate, error) {
	cert, err := readLimited(certificate, maxPEM)
	if err != nil {
		return nil, fmt.Errorf("read certificate: %w", err)
	}
	private, err := readPrivate(key, "key", maxPEM)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(cert, private)
	if err != nil {
		return nil, fmt.Errorf("client certificate %s with key %s: %w", certificate, key, err)
	}
	return &pair, nil
}

// ReadCAs returns the certificates in the file at p.
func ReadCAs(p string) (*x509.CertPool, error) {
	pem, err := readLimited(p, maxPEM)
	if err != nil {
		return nil, fmt.Errorf("read ca_file: %w: give the path of a file with the CA's PEM certificate", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("ca_file %s has no PEM certificate in it: put the CA's there", p)
	}
	return pool, nil
}

// readSecret returns the first line of the file at p, which holds what noun says.
func readSecret(p, noun string) ([]byte, error) {
	b, err := readPrivate(p, noun, maxSecret+2)
	if err != nil {
		return nil, err
	}
	line, _, _ := bytes.Cut(b, []byte("\n"))
	return checkSecret(p, noun, "first", line)
}

// checkSecret returns what a line of the file at p holds, without its end.
func checkSecret(p, noun, place string, line []byte) ([]byte, error) {
	line = bytes.TrimSuffix(line, []byte("\r"))
	switch {
	case len(line) == 0 && place == "first":
		return nil, fmt.Errorf("%s file %s begins with an empty line: write the %s there", noun, p, noun)
	case len(line) > maxSecret:
		return nil, fmt.Errorf("%s file %s has more than %d bytes in its %s line: write the %s alone there", noun, p, maxSecret, place, noun)
	}
	return line, nil
}

// readPrivate returns at most so many bytes of a file that not every user may read.
func readPrivate(p, noun string, most int64) (_ []byte, err error) {
	f, err := os.Open(p) //nolint:gosec // the path is the operator's setting
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", noun, err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", noun, err)
	}
	if info.Mode().Perm()&0o004 != 0 {
		return nil, fmt.Errorf("%s file %s can be read by every user of the host: chmod 600 it and change the %s", noun, p, noun)
	}
	b, err := io.ReadAll(io.LimitReader(f, most))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", noun, err)
	}
	return b, nil
}
