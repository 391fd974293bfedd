package connect

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/pion/dtls/v3"
)

// ErrIdentity says that another engine has answered than the one that signed the parameters.
var ErrIdentity = errors.New("peer has another identity than the one that signed its parameters")

// SelfSigned makes the certificate that carries an identity through DTLS. Only
// its key counts: names and dates are never looked at.
func SelfSigned(key ed25519.PrivateKey) (tls.Certificate, error) {
	template := x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    time.Unix(0, 0),
		NotAfter:     time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), // RFC 5280 section 4.1.2.5: no end
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make certificate of identity: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

// verifyIdentity returns the check of a finished handshake: there is one certificate, with
// the expected key. DTLS has verified by then that the peer has the private key.
func verifyIdentity(want ed25519.PublicKey) func(*dtls.State) error {
	return func(state *dtls.State) error {
		if len(state.PeerCertificates) != 1 {
			return fmt.Errorf("%w: it shows %d certificates", ErrIdentity, len(state.PeerCertificates))
		}
		certificate, err := x509.ParseCertificate(state.PeerCertificates[0])
		if err != nil {
			return fmt.Errorf("%w: %w", ErrIdentity, err)
		}
		got, ok := certificate.PublicKey.(ed25519.PublicKey)
		if !ok || !got.Equal(want) {
			return ErrIdentity
		}
		return nil
	}
}
