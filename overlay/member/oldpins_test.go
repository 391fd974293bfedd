package member

import (
	"crypto/ed25519"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sirupsen/logrus/hooks/test"

	"evio/overlay/identity"
)

// Files of pins as earlier versions wrote them.
const (
	// b@example.net, without a checksum.
	firstPinName = "65f46064650b0a44.json"
	firstPin     = `{"version":1,"jid":"b@example.net","key":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=","first_seen":"2026-01-01T00:00:00Z"}`
	// c@example.net, with one.
	secondPinName = "a0a8e0da0f695109.json"
	secondPin     = `{"version":2,"jid":"c@example.net","key":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE=","first_seen":"2026-11-02T03:04:05.678901234Z","sha256":"7bb3705284f9589acdc644dee16c1aed1d40500e59306de2ccaa391c858118c4"}`
)

// oldPins returns the pins of a directory with files of earlier versions.
func oldPins(t *testing.T, dir string, files map[string]string) *pins {
	t.Helper()
	for name, content := range files {
		path := filepath.Join(dir, Folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p, err := openPins(dir, quiet())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestOldPins: pins in both earlier formats count, are replaced and are forgotten.
func TestOldPins(t *testing.T) {
	dir := t.TempDir()
	p := oldPins(t, dir, map[string]string{firstPinName: firstPin, secondPinName: secondPin})
	for jid, last := range map[string]byte{"b@example.net": 0, "c@example.net": 1} {
		key, ok := p.get(jid)
		if !ok || len(key) != 32 || key[31] != last {
			t.Errorf("pin of %s: %x %v", jid, key, ok)
		}
		if err := p.check(jid, publicKey(t)); err == nil {
			t.Errorf("%s may have another identity", jid)
		}
	}
	if got := p.faults(); len(got) != 0 {
		t.Errorf("faults %q", got)
	}
	offered, _ := p.offered.Peek("b@example.net")
	other := offered.key
	if err := p.accept("b@example.net", Fingerprint(other)); err != nil {
		t.Fatal(err)
	}
	if err := p.forget("c@example.net"); err != nil {
		t.Fatal(err)
	}
	again := oldPins(t, dir, nil)
	if key, ok := again.get("b@example.net"); !ok || !key.Equal(other) {
		t.Errorf("the accepted identity is lost: %x %v", key, ok)
	}
	if _, ok := again.get("c@example.net"); ok || len(again.known) != 1 {
		t.Errorf("pins %v", again.known)
	}
}

// TestDamagedOldPinRefuses: so does one that an earlier version has set aside.
func TestDamagedOldPinRefuses(t *testing.T) {
	key := identity.Public(newKey(t))
	for name, file := range map[string]string{
		"cut": secondPinName, "set aside": secondPinName + ".corrupt", "under another name": "0000000000000000.json",
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			p := oldPins(t, dir, map[string]string{file: secondPin[:100]})
			for range 2 {
				if got := p.faults(); len(got) != 1 || !strings.Contains(got[0], refusedUntilAccepted) {
					t.Fatalf("faults %q", got)
				}
				if err := p.check("c@example.net", key); (err == nil) != (name == "under another name") {
					t.Fatalf("another identity: %v", err)
				}
				p = oldPins(t, dir, nil)
			}
			if name == "under another name" {
				return
			}
			if err := p.check("c@example.net", key); err == nil {
				t.Error("after two starts it is let in")
			}
			if err := p.accept("c@example.net", Fingerprint(key)); err != nil {
				t.Fatal(err)
			}
			if again := oldPins(t, dir, nil); len(again.faults()) != 0 || len(again.known) != 1 || len(setAside(t, filepath.Join(dir, Folder, secondPinName))) != 0 {
				t.Errorf("after it was accepted: faults %q, pins %v", again.faults(), again.known)
			}
		})
	}
}

func FuzzPin(f *testing.F) {
	f.Add([]byte(firstPin))
	f.Add([]byte(secondPin))
	f.Add([]byte("{"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := decodeOld(b)
		if err != nil {
			return
		}
		if p, err := decodePin(r); err != nil || len(p.key) != ed25519.PublicKeySize || r.ID == "" {
			t.Fatalf("accepted %+v: %v", r, err)
		}
	})
}

// TestDamagedPinBesideAnOldOne: the identity that an operator has replaced does not come back
// when the file of the accepted one is damaged. The log says what follows and what to do.
func TestDamagedPinBesideAnOldOne(t *testing.T) {
	const jid = "c@example.net"
	dir := t.TempDir()
	p := oldPins(t, dir, nil)
	if err := p.check(jid, publicKey(t)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(pinPath(p, jid), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, Folder, secondPinName), []byte(secondPin), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		logger, hook := test.NewNullLogger()
		p, err := openPins(dir, logger.WithField("part", "pins"))
		if err != nil {
			t.Fatal(err)
		}
		if key, ok := p.get(jid); ok {
			t.Errorf("it has the identity %x", key)
		}
		if got := p.faults(); len(got) != 1 {
			t.Errorf("faults %q", got)
		}
		if err := p.check(jid, publicKey(t)); err == nil {
			t.Error("it may have any identity")
		}
		if last := hook.LastEntry(); last == nil || !strings.Contains(last.Message, refusedUntilAccepted) {
			t.Errorf("logged last: %v", last)
		}
	}
}
