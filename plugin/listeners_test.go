package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"evio/driver/socket"
)

func exists(t *testing.T, path string) bool {
	t.Helper()
	_, err := os.Lstat(path)
	return err == nil
}

// TestListenV1: one name that cannot be served costs the others nothing, and the
// managed socket is not opened a second time.
func TestListenV1(t *testing.T) {
	dir, err := os.MkdirTemp("", "evio") //nolint:usetesting // t.TempDir holds the test's name and may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.WriteFile(filepath.Join(dir, "taken.sock"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	managed := filepath.Join(dir, "managed.sock")
	m, err := socket.Listen(managed)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })

	got, err := listenV1(dir, []string{"evio", "taken", "managed", "evio:latest"}, managed)
	if err == nil || !strings.Contains(err.Error(), "taken.sock") || strings.Contains(err.Error(), "managed.sock") {
		t.Errorf("error %v", err)
	}
	if len(got) != 2 || !exists(t, filepath.Join(dir, "evio.sock")) || !exists(t, filepath.Join(dir, "evio:latest.sock")) {
		t.Fatalf("%d listeners", len(got))
	}
	for range 2 {
		if err := closeAll(got); err != nil {
			t.Error(err)
		}
	}
	for _, name := range []string{"evio.sock", "evio:latest.sock"} {
		if exists(t, filepath.Join(dir, name)) {
			t.Errorf("%s is still there", name)
		}
	}
	if !exists(t, managed) || !exists(t, filepath.Join(dir, "taken.sock")) {
		t.Error("what was there before is gone")
	}
}
