package config

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestReadPassword(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		name, content string
		mode          os.FileMode
		want, fault   string
	}{
		{"plain", "secret", 0o600, "secret", ""},
		{"line", "s e c\n", 0o640, "s e c", ""},
		{"windows", "secret\r\nnote\r\n", 0o400, "secret", ""},
		{"longest", strings.Repeat("x", maxSecret) + "\n", 0o600, strings.Repeat("x", maxSecret), ""},
		{"empty", "", 0o600, "", "write the password there"},
		{"blank line", "\nsecret", 0o600, "", "write the password there"},
		{"too long", strings.Repeat("x", maxSecret+1), 0o600, "", "more than 1024 bytes"},
		{"open", "secret", 0o644, "", "chmod 600 it and change the password"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(dir, c.name)
			write(t, path, c.content, c.mode)
			got, err := ReadPassword(path)
			if got != c.want || (err == nil) != (c.fault == "") {
				t.Fatalf("got %q, %v", got, err)
			}
			if err != nil && (!strings.Contains(err.Error(), c.fault) || strings.Contains(err.Error(), "secret")) {
				t.Errorf("error %q", err)
			}
		})
	}
	if _, err := ReadPassword(filepath.Join(dir, "none")); err == nil || !strings.Contains(err.Error(), "read password: open") {
		t.Errorf("a missing file: %v", err)
	}
}

func TestReadOverlaySecrets(t *testing.T) {
	dir := t.TempDir()
	for content, fault := range map[string]string{
		"0123456789abcdef\n":                                      "",
		"0123456789abcdef":                                        "",
		"0123456789abcdef\r\n\r\n":                                "",
		"0123456789abcdef\n0123456789abcdef\n":                    "",
		"0123456789abcdef\nfedcba9876543210":                      "",
		"0123456789abcdef\r\nfedcba9876543210\r\n\n":              "",
		"0123456789abcdef\n0123456789abcde\n":                     "has 15 bytes in its second line: write at least 16 there, or leave it out",
		"0123456789abcdef\n\n0123456789abcdef\n":                  "has 0 bytes in its second line",
		"0123456789abcdef\nfedcba9876543210\n0123456789abcdeg\n":  "has more than two lines",
		"0123456789abcdef\n" + strings.Repeat("0123", 257) + "\n": "has more than 1024 bytes in its second line",
		strings.Repeat("0123", 257) + "\n":                        "has more than 1024 bytes in its first line",
		"0123456789abcde\n":                                       "has 15 bytes in its first line: write at least 16 there, the same for all engines of the overlay",
		"":                                                        "overlay secret file",
	} {
		path := filepath.Join(dir, "secret")
		write(t, path, content, 0o600)
		got, err := ReadOverlaySecrets(path)
		switch {
		case fault == "":
			want := slices.Compact(strings.Fields(content))
			if err != nil || strings.Join(want, " ") != string(bytes.Join(got, []byte(" "))) {
				t.Errorf("%q: %q, %v", content, got, err)
			}
		case err == nil || got != nil || !strings.Contains(err.Error(), fault) || strings.Contains(err.Error(), "0123"):
			t.Errorf("%q: %q, %v", content, got, err)
		}
	}
	path := filepath.Join(dir, "turn")
	write(t, path, "x", 0o604)
	if _, err := ReadTURNSecret(path); err == nil || !strings.Contains(err.Error(), "TURN secret file "+path+" can be read by every user") {
		t.Error(err)
	}
}

func TestReadKeyPair(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, keyPath := filepath.Join(dir, "c.pem"), filepath.Join(dir, "k.pem")
	write(t, cert, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), 0o644)
	write(t, keyPath, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})), 0o600)
	pair, err := ReadKeyPair(cert, keyPath)
	if err != nil || len(pair.Certificate) != 1 {
		t.Fatal(pair, err)
	}
	if pool, err := ReadCAs(cert); err != nil || pool == nil {
		t.Error(err)
	}
	for name, fault := range map[string][3]string{
		"no certificate":     {keyPath, keyPath, "client certificate " + keyPath},
		"no such file":       {cert + "x", keyPath, "read certificate: open"},
		"no such key":        {cert, keyPath + "x", "read key: open"},
		"certificate as key": {cert, cert, "can be read by every user of the host: chmod 600 it and change the key"},
	} {
		if _, err := ReadKeyPair(fault[0], fault[1]); err == nil || !strings.Contains(err.Error(), fault[2]) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := ReadCAs(keyPath); err == nil || !strings.Contains(err.Error(), "has no PEM certificate in it: put the CA's there") {
		t.Error(err)
	}
	if err := os.Remove(cert); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadCAs(cert); err == nil || !strings.Contains(err.Error(), "read ca_file: open") {
		t.Error(err)
	}
}
