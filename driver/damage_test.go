package driver_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"evio/driver"
	"evio/driver/drivertest"
)

// A stored file of each kind is cut at every byte and has every byte changed: the driver starts,
// tells of the file, has set it aside, and serves what is in the others.
func TestStartWithDamagedFiles(t *testing.T) {
	r := newRig(t).start()
	r.ok("CreateNetwork", createNetwork(net1, "evio.overlay=t1"))
	r.ok("CreateNetwork", createNetwork(net2, "evio.overlay=t2"))
	r.ok("CreateEndpoint", createEndpoint(net1, ep1, "10.9.0.2/24", ""))
	r.ok("CreateEndpoint", createEndpoint(net2, ep2, "10.9.0.2/24", ""))
	r.stop()
	whole := stored(t, r.dir)
	if len(whole) != 4 {
		t.Fatalf("%d files, want 4", len(whole))
	}
	hurt := map[string]bool{} // by kind: one file of each
	for path, content := range whole {
		kind := filepath.Dir(path)
		if hurt[kind] {
			continue
		}
		hurt[kind] = true
		for i := range content {
			flipped := append([]byte{}, content...)
			flipped[i] ^= 1 << (i % 8)
			for _, b := range [][]byte{content[:i], flipped} {
				startDamaged(t, r, whole, path, b)
				if t.Failed() {
					return
				}
			}
		}
	}
}

// stored returns the content of every stored file, by its path.
func stored(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	for _, kind := range driver.StoreConfig("", nil).Kinds {
		paths, err := filepath.Glob(filepath.Join(dir, kind, "*.json"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			if files[path], err = os.ReadFile(path); err != nil {
				t.Fatal(err)
			}
		}
	}
	return files
}

func startDamaged(t *testing.T, r *rig, whole map[string][]byte, path string, b []byte) {
	t.Helper()
	for _, kind := range driver.StoreConfig("", nil).Kinds { // what an earlier round has set aside goes
		if err := os.RemoveAll(filepath.Join(r.dir, kind)); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(filepath.Join(r.dir, kind), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for p, content := range whole {
		if p == path {
			content = b
		}
		if err := os.WriteFile(p, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r.plane = &drivertest.Plane{} // of another process
	d := r.prepare()
	d.Start(t.Context())
	faults := d.Faults()
	networks := len(d.Networks())
	if err := d.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.driver = nil
	lost := 1 // the file alone, or a network with its endpoint
	want := 2
	if strings.Contains(path, "/network/") {
		lost, want = 2, 1
	}
	left := len(stored(t, r.dir))
	if left == 4 && len(faults) == 0 && networks == 2 {
		return // white space or the case of a letter: nothing is lost
	}
	if networks != want || left != 4-lost || len(faults) != lost || !strings.Contains(strings.Join(faults, "\n"), "was set aside") {
		t.Errorf("%s with %q: %d networks, %d files, faults %q", path, b, networks, left, faults)
	}
}
