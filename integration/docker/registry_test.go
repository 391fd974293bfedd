//go:build e2e

package docker

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"evio/driver/status"
	"evio/integration/scenario"
	"evio/integration/testbed"
)

// TestRegistry: three ways to get the plugin, one at each site: docker plugin install
// with an alias, from the bundle at Docker 20.10, and docker plugin install without an
// alias. The sites are one overlay, and each gets a second build in its own way.
func TestRegistry(t *testing.T) {
	newer := scenario.NewerBundle(t)
	lab := testbed.Start(t, testbed.SiteConfig{Name: "a"}, testbed.SiteConfig{Name: "b", Tree: testbed.OldTree()}, testbed.SiteConfig{Name: "c"})
	if _, err := lab.Internet().StartRegistry(scenario.Within(t, 40*time.Second)); err != nil {
		t.Fatal(err)
	}
	for _, s := range lab.Sites() {
		if err := s.TrustRegistry(scenario.Within(t, 10*time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	publish(t, lab.Site("a"), scenario.Bundle, "latest")
	t.Run("what is asked", func(t *testing.T) { testPrivileges(t, lab.Site("c")) })
	t.Run("a fresh host", func(t *testing.T) { testFreshHost(t, lab.Site("c")) })

	t.Run("an alias that hides a name", func(t *testing.T) { testHidingAlias(t, lab.Site("b")) })

	d, err := scenario.Prepare(scenario.Within(t, 20*time.Second), lab)
	if err != nil {
		t.Fatal(err)
	}
	a, b, c := d.Sites[0], d.Sites[1], d.Sites[2]
	dockerAt(t, a.Site, "plugin", "install", "--grant-all-permissions", "--alias", scenario.PluginName, published, "EVIO_LOG_LEVEL=debug")
	installTarball(t, b, scenario.Bundle, "EVIO_LOG_LEVEL=debug")
	dockerAt(t, c.Site, "plugin", "disable", "-f", published)
	dockerAt(t, c.Site, "plugin", "enable", published) // it reads its configuration at the start

	w := scenario.Populate(t, d, scenario.Network{Name: "registry", Overlay: "registry", Net: 56})
	before, _ := scenario.KnowledgeOf(t, d)
	publish(t, a.Site, newer, "latest")
	r := w.Recover(t, scenario.Fault{Name: "docker plugin upgrade", Do: func(ctx context.Context, s *scenario.Site) (time.Time, error) {
		for _, args := range [][]string{{"disable", "-f"}, {"upgrade", "--grant-all-permissions"}} {
			if _, err := s.Docker(ctx, append(append([]string{"plugin"}, args...), scenario.PluginName)...); err != nil {
				return time.Time{}, err
			}
		}
		began := time.Now()
		_, err := s.Docker(ctx, "plugin", "enable", scenario.PluginName)
		return began, err
	}})
	t.Logf("after docker plugin upgrade all talk again %d ms after enable", r.Recovery)
	after, _ := scenario.KnowledgeOf(t, d)
	if lost := cmp.Diff(before, after); lost != "" {
		t.Errorf("the upgrade changed (- before, + after):\n%s", lost)
	}

	// The others: by the bundle, and to another tag, while the plugin's own name stays.
	said := installTarball(t, b, newer)
	if kept := regexp.MustCompile("(?m)keeps .*$").FindAllString(said, -1); !slices.Equal(kept, []string{"keeps EVIO_LOG_LEVEL=debug"}) {
		t.Errorf("the installer kept %q", kept)
	}
	if out, err := b.Script(scenario.Within(t, time.Minute), "/root/evio-*/install.sh"); err != nil { // the same once more
		t.Errorf("%v: %s", err, out)
	}
	publish(t, a.Site, newer, "2")
	dockerAt(t, c.Site, "plugin", "disable", "-f", published)
	dockerAt(t, c.Site, "plugin", "upgrade", "--grant-all-permissions", "--skip-remote-check", published, published+":2")
	dockerAt(t, c.Site, "plugin", "enable", published)
	if _, err := scenario.Matrix(scenario.Within(t, scenario.Healing+20*time.Second), w.Spots(t)); err != nil {
		t.Error(err)
	}
	for i, s := range d.Sites {
		own := []string{scenario.PluginName, scenario.PluginName, published}[i]
		if _, err := s.Run(scenario.Within(t, 10*time.Second), "test", "-f", rootfs(t, s, own)+"/newer"); err != nil {
			t.Errorf("site %s does not run the second build: %v", s.Name(), err)
		}
		if set := scenario.Docker(t, s, "plugin", "inspect", "--format", "{{.Settings.Env}}", own); i < 2 && !strings.Contains(set, "EVIO_LOG_LEVEL=debug") {
			t.Errorf("site %s: the upgrade lost what was set: %s", s.Name(), set)
		}
		driverNames(t, s.Site)
	}
	t.Run("the command", func(t *testing.T) { testCommand(t, d) })
}

// testPrivileges: docker plugin install asks for what config.json has, and nothing is
// installed when the answer is no.
func testPrivileges(t *testing.T, s *testbed.Site) {
	var config struct {
		Network struct{ Type string }
		Mounts  []struct{ Source string }
		Linux   struct {
			Capabilities []string
			Devices      []struct{ Path string }
		}
	}
	data, err := os.ReadFile(filepath.Join(scenario.Bundle, "config.json"))
	if err == nil {
		err = json.Unmarshal(data, &config)
	}
	if err != nil {
		t.Fatal(err)
	}
	want := []string{fmt.Sprintf("network: [%s]", config.Network.Type), fmt.Sprintf("capabilities: %s", config.Linux.Capabilities)}
	for _, m := range config.Mounts {
		want = append(want, fmt.Sprintf("mount: [%s]", m.Source))
	}
	for _, d := range config.Linux.Devices {
		want = append(want, fmt.Sprintf("device: [%s]", d.Path))
	}
	out, err := s.Pipe(scenario.Within(t, 30*time.Second), strings.NewReader("n\n"), "docker", "plugin", "install", published)
	if err == nil {
		t.Error("the plugin was installed though the answer was no")
	}
	var asked []string
	for line := range strings.Lines(out) {
		if p, ok := strings.CutPrefix(line, " - "); ok {
			asked = append(asked, strings.TrimSpace(p))
		}
	}
	slices.Sort(want)
	slices.Sort(asked)
	if diff := cmp.Diff(want, asked); diff != "" {
		t.Errorf("privileges (- of config.json, + asked):\n%s", diff)
	}
	if there := dockerAt(t, s, "plugin", "ls", "-q"); there != "" {
		t.Errorf("plugins: %s", there)
	}
}

// testFreshHost: on a host that has no folder of evio's the plugin is installed without
// an alias, and serves networks by both of its names.
func testFreshHost(t *testing.T, s *testbed.Site) {
	for _, folder := range []string{"/etc/evio", "/var/lib/evio", "/run/evio"} {
		if _, err := os.Stat(s.Path(folder)); !os.IsNotExist(err) {
			t.Fatalf("%s: %v", folder, err)
		}
	}
	dockerAt(t, s, "plugin", "install", "--grant-all-permissions", published)
	driverNames(t, s)
}

// testHidingAlias: with the alias evio Docker does not find the driver by -d evio, which
// is said, and finds it by -d evio:latest. Docker remembers this name for as long as the
// engine runs.
func testHidingAlias(t *testing.T, s *testbed.Site) {
	dockerAt(t, s, "plugin", "install", "--grant-all-permissions", "--alias", "evio", published)
	if out, err := s.Docker(scenario.Within(t, 30*time.Second), "network", "create", "-d", "evio", "hidden"); err == nil {
		t.Errorf("Docker finds the driver: %s", out)
	}
	scenario.UntilContext(t, 20*time.Second, func(ctx context.Context) error {
		doc, err := status.Fetch(ctx, s.EvioStatus())
		if err == nil && !strings.Contains(strings.Join(doc.Faults, "\n"), "does not find this driver by -d evio") {
			err = fmt.Errorf("faults: %q", doc.Faults)
		}
		return err
	})
	networkOf(t, s, "evio:latest")
	dockerAt(t, s, "plugin", "disable", "-f", "evio")
	dockerAt(t, s, "plugin", "rm", "evio")
	if err := s.RestartEngine(scenario.Within(t, time.Minute)); err != nil {
		t.Fatal(err)
	}
}

// testCommand: the command evio of the host, from the bundle at b and, at a, copied as
// the README says.
func testCommand(t *testing.T, d *scenario.Deployment) {
	a, b := d.Sites[0], d.Sites[1]
	if _, err := a.Script(scenario.Within(t, 10*time.Second),
		`install "$(docker info -f '{{.DockerRootDir}}')/plugins/$(docker plugin inspect -f '{{.Id}}' evionet)/rootfs/usr/bin/evio" /usr/local/bin/evio`); err != nil {
		t.Fatal(err)
	}
	for _, s := range []*scenario.Site{a, b} {
		out, err := s.Script(scenario.Within(t, 20*time.Second), "evio status || [ $? -eq 3 ]") // losses of the upgrade may still stand
		if err != nil || !strings.Contains(out, "registry") {
			t.Errorf("site %s: evio status: %v: %s", s.Name(), err, out)
		}
	}
}
