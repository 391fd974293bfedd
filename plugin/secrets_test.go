package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"evio/plugin/config"
)

// TestSecretsAreReadAtEachUse: a file that was replaced counts, one that is gone is an
// error and not nothing.
func TestSecretsAreReadAtEachUse(t *testing.T) {
	host := t.TempDir()
	write := func(name, content string) {
		t.Helper()
		path := filepath.Join(host, "etc/evio", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := config.Settings{HostPrefix: host, File: config.File{
		Secrets: map[string]string{"blue": "/etc/evio/blue"},
		TURN: []config.TURN{
			{URI: "turn:a:1", Username: "u", PasswordFile: "/etc/evio/password"},
			{URI: "turns:b:1", SecretFile: "/etc/evio/secret", CAFile: "/etc/evio/ca"},
		},
	}}
	secrets, servers := overlaySecrets(s), turnServers(s)
	if len(secrets) != 1 || len(servers) != 2 {
		t.Fatalf("%d secrets, %d servers", len(secrets), len(servers))
	}
	password, shared := servers[0], servers[1]
	if password.Username != "u" || password.Secret != nil || password.RootCAs != nil || shared.Password != nil {
		t.Errorf("%+v, %+v", password, shared)
	}
	if b, err := secrets["blue"](); err == nil || b != nil {
		t.Errorf("a secret that is not there: %q, %v", b, err)
	}
	for _, content := range []string{"0123456789abcdef", "fedcba9876543210"} {
		for _, name := range []string{"blue", "password", "secret", "ca"} {
			write(name, content+"\n")
		}
		b, err := secrets["blue"]()
		if string(b) != content || err != nil {
			t.Errorf("overlay secret %q, %v", b, err)
		}
		for _, read := range []func() (string, error){password.Password, shared.Secret} {
			if text, err := read(); text != content || err != nil {
				t.Errorf("%q, %v", text, err)
			}
		}
		if _, err := shared.RootCAs(); err == nil || !strings.Contains(err.Error(), "no PEM certificate") {
			t.Error(err)
		}
	}
}
