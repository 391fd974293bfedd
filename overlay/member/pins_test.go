package member

import (
	"crypto/ed25519"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"evio/overlay/identity"
)

func publicKey(t *testing.T) ed25519.PublicKey {
	t.Helper()
	return identity.Public(newKey(t))
}

// pinPath is the file of an account's pin.
func pinPath(p *pins, jid string) string { return p.store.Path(Folder, jid) }

// setAside returns the files of a path that were set aside.
func setAside(t *testing.T, path string) []string {
	t.Helper()
	files, err := filepath.Glob(path + ".corrupt*")
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// A pin cut at any byte, or with any byte changed, is set aside and told of, or still
// pins the same identity; the others are loaded.
func TestDamagedPinIsNoOther(t *testing.T) {
	dir := t.TempDir()
	p, err := openPins(dir, quiet())
	if err != nil {
		t.Fatal(err)
	}
	hurt, whole := publicKey(t), publicKey(t)
	keys := map[string]ed25519.PublicKey{"hurt@example.net": hurt, "whole@example.net": whole}
	for jid, key := range keys {
		if err := p.check(jid, key); err != nil {
			t.Fatal(err)
		}
	}
	path := pinPath(p, "hurt@example.net")
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	damage := func(b []byte) {
		t.Helper()
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		again, err := openPins(dir, quiet())
		if err != nil {
			t.Fatalf("%q is fatal: %v", b, err)
		}
		if got, ok := again.get("whole@example.net"); !ok || !got.Equal(whole) {
			t.Fatalf("%q: the other pin was not loaded", b)
		}
		got, ok := again.get("hurt@example.net")
		if ok && !got.Equal(hurt) {
			t.Errorf("%q pins another identity", b)
		}
		if told := len(again.faults()) == 1; ok == told {
			t.Errorf("%q: loaded %v, faults %q", b, ok, again.faults())
		}
		aside := setAside(t, path)
		if ok != (len(aside) == 0) {
			t.Errorf("%q: loaded %v, set aside: %v", b, ok, aside)
		}
		for _, file := range aside {
			_ = os.Remove(file)
		}
	}
	for i := range content {
		damage(content[:i])
		for _, mask := range []byte{1 << (i % 8), 0x20, 0xff} {
			flipped := append([]byte{}, content...)
			flipped[i] ^= mask
			damage(flipped)
		}
	}
}

// What the disk does not take holds in memory and is written later; what an operator
// accepts is refused, and the old pin stays.
func TestPinsWithoutADisk(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pins")
	p, err := openPins(dir, quiet())
	if err != nil {
		t.Fatal(err)
	}
	first, second := publicKey(t), publicKey(t)
	if err := p.check("a@example.net", first); err != nil {
		t.Fatal(err)
	}
	if err := p.check("a@example.net", second); err == nil {
		t.Fatal("another identity was let in")
	}
	away := dir + ".away"
	if err := os.Rename(dir, away); err != nil {
		t.Fatal(err)
	}
	if err := p.check("b@example.net", first); err != nil {
		t.Errorf("a pin that is not on disk counts: %v", err)
	}
	if err := p.check("b@example.net", second); err == nil {
		t.Error("a pin that is not on disk holds nobody off")
	}
	if f := p.faults(); len(f) != 1 || !strings.HasPrefix(f[0], "a pin is not on disk, holds until the plugin ends and is written once that is possible: pin b@example.net: store peers: ") {
		t.Errorf("faults %q", f)
	}
	if err := p.accept("a@example.net", Fingerprint(second)); err == nil || !strings.Contains(err.Error(), "accept the identity again") {
		t.Errorf("accepted without a disk: %v", err)
	}
	if got, _ := p.get("a@example.net"); !got.Equal(first) {
		t.Error("the pin changed though the disk did not take it")
	}
	if err := os.Rename(away, dir); err != nil {
		t.Fatal(err)
	}
	if err := p.accept("a@example.net", Fingerprint(second)); err != nil {
		t.Errorf("accept again: %v", err)
	}
	if err := p.check("a@example.net", second); err != nil {
		t.Error(err)
	}
	if f := p.faults(); len(f) != 0 {
		t.Errorf("faults %q", f)
	}
	again, err := openPins(dir, quiet())
	if err != nil {
		t.Fatal(err)
	}
	for jid, want := range map[string]ed25519.PublicKey{"a@example.net": second, "b@example.net": first} {
		if got, ok := again.get(jid); !ok || !got.Equal(want) {
			t.Errorf("%s is not on disk", jid)
		}
	}
}

// TestForgetThatFails: a pin that could not be removed still counts after other pins were
// written and the plugin was restarted.
func TestForgetThatFails(t *testing.T) {
	dir := t.TempDir()
	p, err := openPins(dir, quiet())
	if err != nil {
		t.Fatal(err)
	}
	key := publicKey(t)
	if err := p.check("a@example.net", key); err != nil {
		t.Fatal(err)
	}
	// A folder that is not empty cannot be removed: it takes the file's place for a while.
	path := pinPath(p, "a@example.net")
	away := path + ".away"
	if err := os.Rename(path, away); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(path, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := p.forget("a@example.net"); err == nil {
		t.Fatal("it was forgotten")
	}
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(away, path); err != nil {
		t.Fatal(err)
	}
	if err := p.check("b@example.net", key); err != nil {
		t.Fatal(err)
	}
	again, err := openPins(dir, quiet())
	if err != nil {
		t.Fatal(err)
	}
	if got, ok := again.get("a@example.net"); !ok || !got.Equal(key) {
		t.Error("the pin is gone, though it could not be forgotten")
	}
}
