//go:build e2e

package evio

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"evio/integration/bench/lab"
)

// inRoot in the environment says that this process runs below inroot.sh, and where evio is.
const inRoot = "EVIO_BENCH_PROGRAMS"

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == NodeRole {
		if err := Node(context.Background(), os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// below runs the test once more in the tree, as the bench runs, and reports whether this is that
// run.
func below(t *testing.T) bool {
	t.Helper()
	if os.Getenv(inRoot) != "" {
		return true
	}
	programs := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(programs, "evio"), "evio/plugin")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build evio: %v\n%s", err, out)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	again := exec.CommandContext(t.Context(), "../../inroot.sh", self, "-test.run", "^"+t.Name()+"$", "-test.v")
	again.Env = append(os.Environ(), inRoot+"="+programs)
	again.Stdout, again.Stderr = t.Output(), t.Output()
	if err := again.Run(); err != nil {
		t.Fatal(err)
	}
	return false
}

// system is what the tests see of one.
type system interface {
	lab.System
	engines() *[2]end
}

func (c *Container) engines() *[2]end { return &c.ends }
func (s *TAP) engines() *[2]end       { return &s.ends }

// up makes a pair for a system and brings it up, until a ping is answered.
func up(t *testing.T, name string, s lab.System) lab.Ends {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	dir, err := os.MkdirTemp("/run", "b") //nolint:usetesting // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	pair, err := lab.NewPair(ctx, name, dir, os.Getenv(inRoot))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Prepare(ctx, pair); err != nil {
		t.Fatal(err)
	}
	return again(t, name, s)
}

// again is up for a system that is prepared.
func again(t *testing.T, name string, s lab.System) lab.Ends {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	began := time.Now()
	ends, err := s.Up(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for ping(ctx, ends.A.Net, ends.B.Addr) != nil {
		if ctx.Err() != nil {
			t.Fatal("no answer to a ping within a minute")
		}
	}
	t.Logf("%s: first answer after %v", name, time.Since(began).Round(time.Millisecond))
	return ends
}

func ping(ctx context.Context, from *lab.Namespace, to netip.Addr) error {
	_, err := from.Run(ctx, "ping", "-n", "-c", "1", "-W", "0.1", to.String())
	return err
}

// TestSystems brings each system up and down twice, which fails if the path is another one than the
// system is about.
func TestSystems(t *testing.T) {
	if !below(t) {
		return
	}
	for _, c := range []struct {
		name string
		s    system
	}{
		{"evio-container", NewContainer()},
		{"evio-tap", NewTAP()},
		{"evio-turn", NewTURN()},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			up(t, c.name, c.s)
			for i := range 2 {
				if err := c.s.Down(t.Context()); err != nil {
					t.Fatal(err)
				}
				if i == 0 {
					again(t, c.name, c.s)
				}
			}
		})
	}
}
