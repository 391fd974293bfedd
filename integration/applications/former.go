//go:build e2e

package applications

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"evio/integration/scenario"
	"evio/integration/testbed"
)

const (
	// formerCommit is the last one whose switch took whatever containers left to their
	// cards, and lost what it did not know.
	formerCommit = "ec4e89d"
	// leastSpeed is which part of its throughput at one site is left at least.
	leastSpeed = 0.8
)

// former makes a site with the plugin of formerCommit and two containers.
func (s *applications) former(t *testing.T) way {
	t.Helper()
	old := formerBundle(t)
	site, err := s.d.Lab.AddSite(scenario.Within(t, time.Minute), testbed.SiteConfig{Name: "former"})
	if err != nil {
		t.Fatal(err)
	}
	if err := site.StartEngine(scenario.Within(t, 2*time.Minute), testbed.EngineOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := site.InstallPlugin(scenario.Within(t, time.Minute), scenario.PluginName, old, nil); err != nil {
		t.Fatal(err)
	}
	at := &scenario.Site{Site: site}
	n := scenario.Network{Name: "former", Overlay: "former", Net: 63}
	if err := at.Create(scenario.Within(t, time.Minute), n); err != nil {
		t.Fatal(err)
	}
	w := way{name: "former"}
	for _, e := range []*end{&w.from, &w.to} {
		container := fmt.Sprintf("former-%p", e)
		scenario.StartContainer(t, at, container, n.Name)
		*e = s.end(t, at, container, n.Name)
	}
	w.from.run(t, "ping", "-c", "1", "-w", "10", w.to.v4)
	return w
}

// formerBundle makes the plugin of formerCommit out of the repository's history.
func formerBundle(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	source, bundle := filepath.Join(dir, "source"), filepath.Join(dir, "plugin")
	if err := errors.Join(os.Mkdir(source, 0o755), os.Mkdir(bundle, 0o755)); err != nil {
		t.Fatal(err)
	}
	ctx := scenario.Within(t, 5*time.Minute)
	command := func(in string, env []string, script string) {
		t.Helper()
		if out, err := shell(ctx, in, env, script); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	if out, err := shell(ctx, scenario.Repository(), nil, "git cat-file -e "+formerCommit+"^{commit}"); err != nil {
		t.Fatalf("commit %s is not in this clone, and the plugin of it is needed: clone with the whole history (%v: %s)", formerCommit, err, out)
	}
	tree := testbed.OldTree() // it has the Open vSwitch of that time, 3.1
	if _, err := os.Lstat(filepath.Join(tree, "usr/sbin/ovs-vswitchd")); err != nil {
		t.Fatalf("%s has no Open vSwitch of that time: run integration/tree.sh bookworm (%v)", tree, err)
	}
	command(scenario.Repository(), nil, fmt.Sprintf("git archive %s | tar -x -C %q", formerCommit, source))
	command(source, []string{"CGO_ENABLED=0"}, fmt.Sprintf("go build -trimpath -buildvcs=false -ldflags '-s -w -buildid=' -o %q ./plugin", filepath.Join(dir, "evio")))
	command(source, nil, fmt.Sprintf("rootfs/build.sh --binary %q --out %q --source %s", filepath.Join(dir, "evio"), filepath.Join(bundle, "rootfs"), tree))
	command(source, nil, fmt.Sprintf("install -m 0644 config.json %q", bundle))
	return bundle
}

func shell(ctx context.Context, dir string, env []string, script string) (string, error) {
	cmd := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", script)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// serveThroughput starts a server of iperf3 and waits until it listens.
func (e end) serveThroughput(t *testing.T) {
	t.Helper()
	scenario.Enter(t, e.Spot, "iperf3", "-s")
	scenario.Until(t, 10*time.Second, func() error {
		_, err := e.Site.Run(scenario.Within(t, 5*time.Second), e.Inside("probe", "tcp-check", "127.0.0.1:5201")...)
		return err
	})
}

// gigabit sends TCP for a second and returns how long 1 Gb takes at the rate that was received.
func (w way) gigabit(t *testing.T) time.Duration {
	t.Helper()
	out := w.from.run(t, "iperf3", "--json", "-c", w.to.v4, "-t", "1")
	var result struct {
		End struct {
			SumReceived struct {
				BitsPerSecond float64 `json:"bits_per_second"`
			} `json:"sum_received"`
		} `json:"end"`
	}
	if err := json.Unmarshal([]byte(out), &result); err != nil || result.End.SumReceived.BitsPerSecond == 0 {
		t.Fatalf("iperf3 printed %q: %v", out, err)
	}
	return time.Duration(1e9 / result.End.SumReceived.BitsPerSecond * float64(time.Second))
}
