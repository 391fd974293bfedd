package connect

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"math/big"
	"testing"
	"time"

	"github.com/pion/dtls/v3"
)

// TestIdentityHasNoDates: who the far end is follows from its key alone, so no clock,
// neither here nor there, keeps a handshake from being completed.
func TestIdentityHasNoDates(t *testing.T) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	other, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for name, dates := range map[string][2]time.Time{
		"now":           {now.Add(-time.Hour), now.Add(time.Hour)},
		"of the past":   {now.Add(-48 * time.Hour), now.Add(-24 * time.Hour)},
		"of the future": {now.Add(24 * time.Hour), now.Add(48 * time.Hour)},
	} {
		template := x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: dates[0], NotAfter: dates[1]}
		der, err := x509.CreateCertificate(rand.Reader, &template, &template, public, private)
		if err != nil {
			t.Fatal(err)
		}
		state := &dtls.State{PeerCertificates: [][]byte{der}}
		if err := verifyIdentity(public)(state); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := verifyIdentity(other)(state); !errors.Is(err, ErrIdentity) {
			t.Errorf("%s, of another key: %v", name, err)
		}
	}
}
