package scenario

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"evio/integration/testbed"
)

// Ear is what comes to a namespace, as tcpdump writes it.
type Ear struct{ file string }

// Listen records what comes to the namespace of an overlay from now on.
func Listen(t *testing.T, s *Site, overlay string) *Ear {
	t.Helper()
	name := fmt.Sprintf("ear-%s-%d", overlay, time.Now().UnixNano())
	e := &Ear{filepath.Join(s.Shared(), name+".pcap")}
	p, err := s.Start(Within(t, 20*time.Second), name, "nsenter", "--net=/run/netns/"+overlay,
		"tcpdump", "-i", "eth0", "-n", "-U", "--immediate-mode", "-Q", "in", "-Z", "root", "-s", "0", "-B", "16384",
		"-w", filepath.Join(testbed.SharedDir, name+".pcap"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Stop(context.WithoutCancel(t.Context()), "TERM"); err != nil {
			t.Error(err)
		}
	})
	Until(t, 10*time.Second, func() error {
		if info, err := os.Stat(e.file); err != nil || info.Size() == 0 {
			return errors.Join(errors.New("tcpdump has not begun"), err)
		}
		return nil
	})
	return e
}

// Heard counts how often a token has come.
func (e *Ear) Heard(t *testing.T, token string) int {
	t.Helper()
	b, err := os.ReadFile(e.file)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Count(b, []byte(token))
}

// Await waits until the token has come.
func (e *Ear) Await(t *testing.T, token string) {
	t.Helper()
	Until(t, 5*time.Second, func() error {
		if e.Heard(t, token) == 0 {
			return fmt.Errorf("%q has not come", token)
		}
		return nil
	})
}
