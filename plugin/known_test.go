package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/sirupsen/logrus/hooks/test"

	"evio/internal/store"
	"evio/overlay/directory"
)

// TestMemory: what a node knows comes back, overlay by overlay, until it is forgotten.
func TestMemory(t *testing.T) {
	logger, _ := test.NewNullLogger()
	dir := t.TempDir()
	reopen := func() memory {
		s, err := store.Open(store.Config{Dir: dir, Kinds: []string{kindKnown}, Log: logger.WithField("part", "state")})
		if err != nil {
			t.Fatal(err)
		}
		return memory{s}
	}
	m := reopen()
	if known, err := m.Known("blue"); known != nil || err != nil {
		t.Fatalf("%x, %v", known, err)
	}
	for overlay, known := range map[string]string{"blue": "\x00\xff", "green": "g"} {
		if err := m.Keep(overlay, []byte(known)); err != nil {
			t.Fatal(err)
		}
	}
	m = reopen()
	if known, err := m.Known("blue"); !bytes.Equal(known, []byte("\x00\xff")) || err != nil {
		t.Errorf("%x, %v", known, err)
	}
	if err := m.Forget("blue"); err != nil {
		t.Error(err)
	}
	if known, err := m.Known("blue"); known != nil || err != nil {
		t.Errorf("forgotten: %x, %v", known, err)
	}
	if known, err := m.Known("green"); string(known) != "g" || err != nil {
		t.Errorf("another overlay's: %x, %v", known, err)
	}
	name := strings.Repeat("x", 64)
	if err := m.Keep(name, make([]byte, directory.MaxKnown)); err != nil {
		t.Error(err)
	}
	if err := m.Keep("blue", make([]byte, 1<<20)); err == nil {
		t.Error("a file of more than 1 MiB was written")
	}
}
