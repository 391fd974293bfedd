//go:build e2e

package docker

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"evio/driver/status"
	"evio/integration/scenario"
)

const (
	engineSocket = "/run/docker.sock"
	movedSocket  = "/run/docker-moved.sock"
)

// moveSocket hides the engine's socket from everybody but the function it returns,
// which runs docker commands.
func moveSocket(t *testing.T, s *scenario.Site) func(t *testing.T, args ...string) {
	t.Helper()
	if err := os.Rename(s.Path(engineSocket), s.Path(movedSocket)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { returnSocket(t, s) })
	return func(t *testing.T, args ...string) {
		t.Helper()
		if _, err := s.Docker(scenario.Within(t, 60*time.Second), append([]string{"-H", "unix://" + movedSocket}, args...)...); err != nil {
			t.Fatalf("site %s: %v", s.Name(), err)
		}
	}
}

// returnSocket undoes moveSocket; it may be called again.
func returnSocket(t *testing.T, s *scenario.Site) {
	t.Helper()
	if err := os.Rename(s.Path(movedSocket), s.Path(engineSocket)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

// files returns what the site's driver has stored.
func files(t *testing.T, s *scenario.Site) []string {
	t.Helper()
	all, err := filepath.Glob(s.Path("/var/lib/evio/docker/*/*.json"))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// present returns which of the interfaces are there.
func present(t *testing.T, s *scenario.Site, names []string) []string {
	t.Helper()
	all, err := os.ReadDir(s.Path("/sys/class/net"))
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(slices.Clone(names), func(n string) bool {
		return !slices.ContainsFunc(all, func(e os.DirEntry) bool { return e.Name() == n })
	})
}

func collected(t *testing.T, s *scenario.Site) status.Collected {
	t.Helper()
	doc, err := s.Status(scenario.Within(t, 10*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	return doc.Collected
}
