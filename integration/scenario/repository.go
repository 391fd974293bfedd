package scenario

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

// Bundle is the plugin that `make plugin` made.
var Bundle = Repository("dist/plugin")

// Repository returns the path of a file of the repository, or of its root.
func Repository(path ...string) string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(append([]string{filepath.Dir(file), "..", ".."}, path...)...)
}

// NewerBundle is the plugin with a binary of another version, and one file more.
func NewerBundle(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "plugin")
	root := filepath.Join(dir, "rootfs")
	for _, args := range [][]string{
		{"cp", "-a", Bundle, dir},
		{"rm", filepath.Join(root, "bin/evio")},
		{"env", "CGO_ENABLED=0", "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -buildid=newer", "-o", filepath.Join(root, "bin/evio"), Repository("plugin")},
	} {
		if out, err := exec.CommandContext(Within(t, 2*time.Minute), args[0], args[1:]...).CombinedOutput(); err != nil { //nolint:gosec // the commands above
			t.Fatalf("%v: %v: %s", args, err, out)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "newer"), []byte("newer\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}
