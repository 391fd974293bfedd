//go:build e2e

package docker

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"evio/integration/scenario"
	"evio/integration/testbed"
)

// published is the plugin's name at the registry.
const published = testbed.RegistryAddress + "/evio"

// publish runs the script of make push at a site, with a plugin of this host.
func publish(t *testing.T, s *testbed.Site, plugin, tag string) {
	t.Helper()
	dir := filepath.Join(s.Shared(), "push")
	copyIn(t, dir, plugin, scenario.Repository("rootfs/packaging/push.sh"))
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	out, err := s.Run(scenario.Within(t, time.Minute), testbed.SharedDir+"/push/push.sh", testbed.SharedDir+"/push/"+filepath.Base(plugin), published, tag)
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if left := dockerAt(t, s, "plugin", "ls", "--format", "{{.Name}}"); strings.Contains(left, published+":"+tag) {
		t.Errorf("the push left a plugin: %s", left)
	}
}

// copyIn copies files and folders of this host into a new folder.
func copyIn(t *testing.T, dir string, from ...string) {
	t.Helper()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	args := append(append([]string{"-a"}, from...), dir)
	if out, err := exec.CommandContext(scenario.Within(t, 20*time.Second), "cp", args...).CombinedOutput(); err != nil {
		t.Fatalf("cp: %v: %s", err, out)
	}
}

// driverNames makes a network with each name of the driver.
func driverNames(t *testing.T, s *testbed.Site) {
	t.Helper()
	networkOf(t, s, "evio")
	networkOf(t, s, "evio:latest")
}

// networkOf makes a network of the driver with two containers that reach each other,
// and removes it.
func networkOf(t *testing.T, s *testbed.Site, driver string) {
	t.Helper()
	dockerAt(t, s, "network", "create", "-d", driver, "--subnet", "10.57.0.0/24", "-o", "evio.overlay=named-"+s.Name(), "named")
	dockerAt(t, s, "run", "-d", "--init", "--name", "named-1", "--network", "named", "--ip", "10.57.0.5", testbed.Image)
	dockerAt(t, s, "run", "--rm", "--network", "named", testbed.Image, "ping", "-c", "1", "-W", "3", "10.57.0.5")
	dockerAt(t, s, "rm", "-f", "named-1")
	dockerAt(t, s, "network", "rm", "named")
}

func dockerAt(t *testing.T, s *testbed.Site, args ...string) string {
	t.Helper()
	out, err := s.Docker(scenario.Within(t, time.Minute), args...)
	if err != nil {
		t.Fatalf("site %s: %v", s.Name(), err)
	}
	return strings.TrimSpace(out)
}

// installTarball makes the bundle of a plugin, installs it at a site that gets nothing
// else of this tree, and returns what the installer said.
func installTarball(t *testing.T, s *scenario.Site, plugin string, settings ...string) string {
	t.Helper()
	out := t.TempDir()
	if text, err := exec.CommandContext(scenario.Within(t, time.Minute), scenario.Repository("rootfs/packaging/bundle.sh"), plugin, out).CombinedOutput(); err != nil {
		t.Fatalf("make the bundle: %v: %s", err, text)
	}
	copyIn(t, filepath.Join(s.Shared(), "download"), out+"/.")
	if at, err := s.Script(scenario.Within(t, 10*time.Second), "! command -v go"); err != nil {
		t.Fatalf("the site has Go: %s", at)
	}
	text, err := s.Run(scenario.Within(t, time.Minute), append([]string{"sh", "-euc", `
cd "$0"
sha256sum -c ./*.sha256
rm -rf /root/evio-*
tar -xzf ./*.tar.gz -C /root
rm -r "$0"
/root/evio-*/install.sh "$@"`, testbed.SharedDir + "/download"}, settings...)...)
	t.Logf("site %s:\n%s", s.Name(), text)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// rootfs is where a site has the files of a plugin.
func rootfs(t *testing.T, s *scenario.Site, plugin string) string {
	t.Helper()
	return scenario.Docker(t, s, "info", "--format", "{{.DockerRootDir}}") + "/plugins/" + scenario.Docker(t, s, "plugin", "inspect", "--format", "{{.Id}}", plugin) + "/rootfs"
}
