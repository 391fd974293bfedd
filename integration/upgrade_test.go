//go:build e2e

package integration

import (
	"context"
	"fmt"
	"os"
	osexec "os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"evio/driver/status"
	"evio/integration/scenario"
)

// TestUpgrade: the plugin of a site is removed and another version is made under its
// name, under containers that talk. They go on, and nothing of what the site knew is
// lost.
func TestUpgrade(t *testing.T) {
	newer := newerBundle(t)
	d := deploy(t)
	w := populate(t, d, scenario.Network{Name: "upgrade", Overlay: "upgrade", Net: 53})
	local := scenario.Network{Name: "default-named", Net: 54}
	create(t, d, local)
	if err := d.WaitSessions(within(t, 20*time.Second), local.Name); err != nil {
		t.Fatal(err)
	}
	a := w.a()
	before, version := knowledge(t, d)
	w.recover(t, fault{name: "plugin upgraded", do: func(ctx context.Context, s *scenario.Site) (time.Time, error) {
		for _, args := range [][]string{{"disable", "-f"}, {"rm", "-f"}} {
			if _, err := s.Docker(ctx, append(append([]string{"plugin"}, args...), scenario.PluginName)...); err != nil {
				return time.Time{}, err
			}
		}
		if err := s.CreatePlugin(ctx, scenario.PluginName, newer, map[string]string{"EVIO_LOG_LEVEL": "debug"}); err != nil {
			return time.Time{}, err
		}
		began := time.Now()
		_, err := s.Docker(ctx, "plugin", "enable", scenario.PluginName)
		return began, err
	}})
	if err := d.WaitSessions(within(t, 20*time.Second), local.Name); err != nil {
		t.Error(err)
	}
	after, upgraded := knowledge(t, d)
	if upgraded == version {
		t.Errorf("the plugin is of version %s as before: it was not upgraded", version)
	}
	t.Logf("version %s became %s", version, upgraded)
	if lost := cmp.Diff(before, after); lost != "" {
		t.Errorf("the upgrade changed (- before, + after):\n%s", lost)
	}
	run(t, a, "after-upgrade", w.network.Name)
	far, _ := addresses(t, d.Sites[1], w.containers[1][0], w.network.Name)
	exec(t, a, "after-upgrade", "ping", "-c", "1", "-W", "3", far)
}

// newerBundle is the plugin with a binary of another version, and one file more.
func newerBundle(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "plugin")
	root := filepath.Join(dir, "rootfs")
	for _, args := range [][]string{
		{"cp", "-a", bundle, dir},
		{"rm", filepath.Join(root, "bin/evio")},
		{"env", "CGO_ENABLED=0", "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -buildid=newer", "-o", filepath.Join(root, "bin/evio"), "../plugin"},
	} {
		if out, err := osexec.CommandContext(within(t, 2*time.Minute), args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v: %s", args, err, out)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "newer"), []byte("newer\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// known is what a site must not forget.
type known struct {
	Identity string            // hash of its file
	Networks map[string]string // overlay and node ID by network ID
	Peers    []status.Peer     // pins
	Held     map[string]string // MAC and node by address, of the directory
}

// knowledge returns what each site knows, and the version that runs at the first.
func knowledge(t *testing.T, d *scenario.Deployment) (all map[string]known, version string) {
	t.Helper()
	all = map[string]known{}
	for i, s := range d.Sites {
		doc, err := s.Status(within(t, 10*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			version = doc.Version
		}
		k := known{Networks: map[string]string{}, Held: map[string]string{}}
		for _, n := range doc.Networks {
			k.Networks[n.ID] = n.Overlay + " " + n.Node
			for _, e := range n.Directory {
				if e.Address != "" {
					k.Held[e.Address] = fmt.Sprint(e.MAC, " ", e.Node)
				}
			}
		}
		if k.Identity, err = s.Script(within(t, 10*time.Second), "sha256sum </var/lib/evio/identity.pem"); err != nil {
			t.Fatal(err)
		}
		if k.Peers, err = status.FetchPeers(within(t, 10*time.Second), s.EvioStatus()); err != nil {
			t.Fatal(err)
		}
		all[s.Name()] = k
	}
	return all, version
}
