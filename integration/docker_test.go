//go:build e2e

package integration

import (
	"strings"
	"testing"
	"time"

	"evio/integration/scenario"
	"evio/integration/testbed"
)

// testDocker: what people do with docker networks works: the default overlay name,
// both driver names, several subnets, hot connect and disconnect, several networks
// per container, MACs that survive a restart, and the time to the first ping.
func testDocker(t *testing.T, d *scenario.Deployment) {
	a, b := d.Sites[0], d.Sites[1]
	n := scenario.Network{Name: "plain", Net: 15} // the overlay is named after the network
	overlayOf(t, d, n)

	t.Run("first ping", func(t *testing.T) {
		run(t, a, "fresh-a", n.Name)
		run(t, b, "fresh-b", n.Name)
		began := time.Now()
		v4, v6 := addresses(t, b, "fresh-b", n.Name)
		exec(t, a, "fresh-a", "ping", "-c", "1", "-W", "3", v4)
		took := time.Since(began)
		t.Logf("first ping between new containers: %v", took)
		if took > 3*time.Second {
			t.Errorf("the first ping took %v, want at most 3s", took)
		}
		exec(t, a, "fresh-a", "ping", "-6", "-c", "1", "-W", "3", v6)
	})

	t.Run("restart keeps the MAC", func(t *testing.T) {
		far, _ := addresses(t, b, name(b, n), n.Name)
		before := exec(t, a, name(a, n), "cat", "/sys/class/net/eth0/address")
		if _, err := a.Docker(within(t, 20*time.Second), "restart", "-t", "1", name(a, n)); err != nil {
			t.Fatal(err)
		}
		if after := exec(t, a, name(a, n), "cat", "/sys/class/net/eth0/address"); after != before {
			t.Errorf("MAC address %s became %s", before, after)
		}
		exec(t, a, name(a, n), "ping", "-c", "1", "-W", "3", far)
		v4, _ := addresses(t, a, name(a, n), n.Name)
		exec(t, b, name(b, n), "ping", "-c", "1", "-W", "3", v4)
	})

	t.Run("connect and disconnect", func(t *testing.T) {
		second := scenario.Network{Name: "second", Net: 16}
		create(t, d, second)
		run(t, b, "second-b", second.Name)
		if err := d.WaitSessions(within(t, 20*time.Second), second.Name); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			docker(t, a, "network", "connect", second.Name, name(a, n))
			v4, _ := addresses(t, b, "second-b", second.Name)
			exec(t, a, name(a, n), "ping", "-c", "1", "-W", "3", v4)
			first, _ := addresses(t, b, name(b, n), n.Name)
			exec(t, a, name(a, n), "ping", "-c", "1", "-W", "3", first)
			docker(t, a, "network", "disconnect", second.Name, name(a, n))
			if _, err := a.Exec(within(t, 10*time.Second), name(a, n), "ping", "-c", "1", "-W", "1", v4); err == nil {
				t.Error("the container still reaches the network it left")
			}
		}
	})

	t.Run("driver names and subnets", func(t *testing.T) {
		for _, driver := range []string{"evio:latest", scenario.PluginName + ":latest"} {
			docker(t, a, "network", "create", "-d", driver, "--subnet", "10.17.0.0/24", "--subnet", "10.18.0.0/24", "named")
			for container, ip := range map[string]string{"one": "10.17.0.5", "two": "10.18.0.5", "three": "10.18.0.6"} {
				docker(t, a, "run", "-d", "--init", "--name", container, "--network", "named", "--ip", ip, testbed.Image)
			}
			exec(t, a, "two", "ping", "-c", "1", "-W", "3", "10.18.0.6")
			if out := exec(t, a, "one", "ip", "-4", "address", "show", "dev", "eth0"); !strings.Contains(out, "10.17.0.5/24") {
				t.Errorf("static address: %s", out)
			}
			docker(t, a, "rm", "-f", "one", "two", "three")
			docker(t, a, "network", "rm", "named")
		}
	})
}

// docker runs the docker command at a site and fails the test if it fails.
func docker(t *testing.T, s *scenario.Site, args ...string) string {
	t.Helper()
	out, err := s.Docker(within(t, 30*time.Second), args...)
	if err != nil {
		t.Fatalf("site %s: %v", s.Name(), err)
	}
	return strings.TrimSpace(out)
}
