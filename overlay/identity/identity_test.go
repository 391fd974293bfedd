package identity_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"evio/overlay/identity"
)

func TestLoadMakesOneAndKeepsIt(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	first, err := identity.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	again, err := identity.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if !first.Equal(again) {
		t.Error("the second Load gave another key")
	}
	info, err := os.Stat(filepath.Join(dir, "identity.pem"))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, want 0600", info.Mode().Perm())
	}
}

func TestLoadLeavesDamagedFile(t *testing.T) {
	dir := t.TempDir()
	if _, err := identity.Load(dir); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "identity.pem")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for n := range len(whole) - 1 {
		if err := os.WriteFile(path, whole[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := identity.Load(dir)
		if err == nil {
			t.Fatalf("a file cut to %d of %d bytes was accepted", n, len(whole))
		}
		if !strings.Contains(err.Error(), "restore it from a backup") {
			t.Fatalf("cut to %d bytes: %v does not say what to do", n, err)
		}
		kept, err := os.ReadFile(path)
		if err != nil || len(kept) != n {
			t.Fatalf("the damaged file was touched: %d bytes, %v", len(kept), err)
		}
	}
}

// A file with any byte changed is refused, or the key in it is the one that was there.
func TestLoadNoticesChangedBytes(t *testing.T) {
	dir := t.TempDir()
	key, err := identity.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "identity.pem")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	refused := 0
	for i := range whole {
		for _, mask := range []byte{0x01, 0x20, 0xff} {
			b := append([]byte{}, whole...)
			b[i] ^= mask
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := identity.Load(dir)
			switch {
			case err == nil && !got.Equal(key):
				t.Fatalf("byte %d changed by %#x gives another key", i, mask)
			case err == nil:
				continue
			case !strings.Contains(err.Error(), "restore it from a backup"):
				t.Fatalf("byte %d: %v does not say what to do", i, err)
			}
			refused++
			if kept, err := os.ReadFile(path); err != nil || !bytes.Equal(kept, b) {
				t.Fatalf("the damaged file was touched: %v", err)
			}
		}
	}
	if refused < len(whole) {
		t.Errorf("only %d of %d changes were noticed", refused, 3*len(whole))
	}
}

// The identity of a version that wrote the private key alone is kept as it is.
func TestLoadTakesAPrivateKeyAlone(t *testing.T) {
	dir := t.TempDir()
	key, err := identity.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "identity.pem")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	alone := whole[bytes.Index(whole, []byte("-----BEGIN PRIVATE KEY")):]
	if err := os.WriteFile(path, alone, 0o600); err != nil {
		t.Fatal(err)
	}
	again, err := identity.Load(dir)
	if err != nil || !again.Equal(key) {
		t.Errorf("another key, or %v", err)
	}
}

func FuzzLoad(f *testing.F) {
	f.Add([]byte("-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIAAA\n-----END PRIVATE KEY-----\n"))
	f.Add([]byte{})
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := os.WriteFile(filepath.Join(dir, "identity.pem"), b, 0o600); err != nil {
			t.Fatal(err)
		}
		key, err := identity.Load(dir)
		if err == nil && len(key) != 64 {
			t.Fatalf("a key of %d bytes", len(key))
		}
	})
}
