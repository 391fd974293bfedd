package main

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"evio/datapath/proof"
	"evio/datapath/session"
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
		STUN:    []string{"stun.example.org:3478"},
		TURN: []config.TURN{
			{URI: "turn:a:1", Username: "u", PasswordFile: "/etc/evio/password"},
			{URI: "turns:b:1", SecretFile: "/etc/evio/secret", CAFile: "/etc/evio/ca"},
		},
	}}
	secrets, servers := overlaySecrets(s), iceServers(s)
	if len(secrets) != 1 || len(servers) != 3 {
		t.Fatalf("%d secrets, %d servers", len(secrets), len(servers))
	}
	if diff := cmp.Diff([]string{"stun:stun.example.org:3478"}, servers[0].URLs); diff != "" {
		t.Error(diff)
	}
	password, withPassword := servers[1].Credential.(session.TURNAccess)
	shared, withSecret := servers[2].Credential.(session.TURNAccess)
	if !withPassword || !withSecret || servers[1].Username != "u" || password.Secret != nil || password.RootCAs != nil || shared.Password != nil {
		t.Errorf("%+v, %+v", password, shared)
	}
	if b, err := secrets["blue"](); err == nil || b != nil {
		t.Errorf("a secret that is not there: %d, %v", len(b), err)
	}
	for _, content := range []string{"0123456789abcdef", "fedcba9876543210"} {
		for _, name := range []string{"blue", "password", "secret", "ca"} {
			write(name, content+"\n")
		}
		b, err := secrets["blue"]()
		if err != nil || len(b) != 1 || b[0] != proof.Stretch("blue", []byte(content)) {
			t.Errorf("overlay secret %q: %d secrets, %v", content, len(b), err)
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

// TestSecretsAreStretchedOnce: at the first use, and what is new after a change.
func TestSecretsAreStretchedOnce(t *testing.T) {
	f := &secretFile{overlay: "blue", path: filepath.Join(t.TempDir(), "blue"), stretching: new(sync.Mutex)}
	var before []proof.Secret
	for _, step := range []struct {
		name, content string
		want          []string // what was stretched
	}{
		{"first", "0123456789abcdef\n", []string{"0123456789abcdef"}},
		{"again", "0123456789abcdef\n", nil},
		{"another line", "fedcba9876543210\n0123456789abcdef\n", []string{"fedcba9876543210"}},
		{"the other way round", "0123456789abcdef\nfedcba9876543210\n", nil},
		{"one is gone", "fedcba9876543210\n", nil},
	} {
		if err := os.WriteFile(f.path, []byte(step.content), 0o600); err != nil {
			t.Fatal(err)
		}
		var stretched []string
		f.slow = func(overlay string, line []byte) proof.Secret {
			stretched = append(stretched, string(line))
			var s proof.Secret
			copy(s[:], overlay+" "+string(line))
			return s
		}
		got, err := f.read()
		if err != nil || len(got) != strings.Count(step.content, "\n") {
			t.Fatalf("%s: %d secrets, %v", step.name, len(got), err)
		}
		for i, line := range strings.Fields(step.content) {
			if !strings.HasPrefix(string(got[i][:]), "blue "+line) {
				t.Errorf("%s: line %d gives %q", step.name, i, got[i])
			}
		}
		if diff := cmp.Diff(step.want, stretched); diff != "" {
			t.Errorf("%s: stretched (-want +got):\n%s", step.name, diff)
		}
		before = got
	}
	if err := os.Remove(f.path); err != nil {
		t.Fatal(err)
	}
	if got, err := f.read(); err == nil || got != nil || len(before) == 0 {
		t.Errorf("a file that is gone: %d secrets, %v", len(got), err)
	}
}
