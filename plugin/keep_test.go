package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sirupsen/logrus/hooks/test"

	"evio/internal/store"
	"evio/overlay/signal"
)

// TestKept: what is kept of lists and servers comes back to another process; what is damaged
// is an error, and not the same as nothing.
func TestKept(t *testing.T) {
	dir := t.TempDir()
	open := func() *store.Store {
		logger, _ := test.NewNullLogger()
		s, err := store.Open(store.Config{Dir: dir, Kinds: []string{kindLists, kindLogins}, Log: logger.WithField("part", "state")})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open()
	lists, server := ledger{s}, offers{s, "a@example.org"}
	if at, err := lists.Confirmed("a@example.org roster"); !at.IsZero() || err != nil {
		t.Errorf("confirmed %v, %v", at, err)
	}
	if o, err := server.Best(); o != (signal.Offer{}) || err != nil {
		t.Errorf("offered %+v, %v", o, err)
	}
	at := time.Date(2026, 11, 21, 1, 2, 3, 4, time.UTC)
	best := signal.Offer{Password: "SCRAM-SHA-256-PLUS", Certificate: true}
	if err := lists.Keep("a@example.org roster", at); err != nil {
		t.Fatal(err)
	}
	if err := server.Keep(best); err != nil {
		t.Fatal(err)
	}
	s = open()
	lists, server = ledger{s}, offers{s, "a@example.org"}
	if got, err := lists.Confirmed("a@example.org roster"); !got.Equal(at) || err != nil {
		t.Errorf("confirmed %v, %v", got, err)
	}
	if got, err := server.Best(); got != best || err != nil {
		t.Errorf("offered %+v, %v", got, err)
	}
	if o, err := (offers{s, "b@example.org"}).Best(); o != (signal.Offer{}) || err != nil {
		t.Errorf("offered to another account: %+v, %v", o, err)
	}
	for _, kind := range []string{kindLists, kindLogins} {
		files, err := filepath.Glob(filepath.Join(dir, kind, "*.json"))
		if err != nil || len(files) != 1 {
			t.Fatal(files, err)
		}
		if err := os.WriteFile(files[0], []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := lists.Confirmed("a@example.org roster"); err == nil {
		t.Error("a damaged list is none")
	}
	if _, err := server.Best(); err == nil {
		t.Error("a damaged offer is none")
	}
}
