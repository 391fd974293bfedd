//go:build e2e

package docker

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
	scenario.StartOverlay(t, d, n)

	t.Run("first ping", func(t *testing.T) {
		scenario.StartContainer(t, a, "fresh-a", n.Name)
		scenario.StartContainer(t, b, "fresh-b", n.Name)
		began := time.Now()
		v4, v6 := scenario.Addresses(t, b, "fresh-b", n.Name)
		scenario.Exec(t, a, "fresh-a", "ping", "-c", "1", "-W", "3", v4)
		took := time.Since(began)
		t.Logf("first ping between new containers: %v", took)
		if took > 3*time.Second {
			t.Errorf("the first ping took %v, want at most 3s", took)
		}
		scenario.Exec(t, a, "fresh-a", "ping", "-6", "-c", "1", "-W", "3", v6)
	})

	t.Run("restart keeps the MAC", func(t *testing.T) {
		far, _ := scenario.Addresses(t, b, scenario.ContainerName(b, n), n.Name)
		before := scenario.Exec(t, a, scenario.ContainerName(a, n), "cat", "/sys/class/net/eth0/address")
		if _, err := a.Docker(scenario.Within(t, 20*time.Second), "restart", "-t", "1", scenario.ContainerName(a, n)); err != nil {
			t.Fatal(err)
		}
		if after := scenario.Exec(t, a, scenario.ContainerName(a, n), "cat", "/sys/class/net/eth0/address"); after != before {
			t.Errorf("MAC address %s became %s", before, after)
		}
		scenario.Exec(t, a, scenario.ContainerName(a, n), "ping", "-c", "1", "-W", "3", far)
		v4, _ := scenario.Addresses(t, a, scenario.ContainerName(a, n), n.Name)
		scenario.Exec(t, b, scenario.ContainerName(b, n), "ping", "-c", "1", "-W", "3", v4)
	})

	t.Run("connect and disconnect", func(t *testing.T) {
		second := scenario.Network{Name: "second", Net: 16}
		scenario.CreateNetwork(t, d, second)
		scenario.StartContainer(t, b, "second-b", second.Name)
		if err := d.WaitSessions(scenario.Within(t, 20*time.Second), second.Name); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			scenario.Docker(t, a, "network", "connect", second.Name, scenario.ContainerName(a, n))
			v4, _ := scenario.Addresses(t, b, "second-b", second.Name)
			scenario.Exec(t, a, scenario.ContainerName(a, n), "ping", "-c", "1", "-W", "3", v4)
			first, _ := scenario.Addresses(t, b, scenario.ContainerName(b, n), n.Name)
			scenario.Exec(t, a, scenario.ContainerName(a, n), "ping", "-c", "1", "-W", "3", first)
			scenario.Docker(t, a, "network", "disconnect", second.Name, scenario.ContainerName(a, n))
			if _, err := a.Exec(scenario.Within(t, 10*time.Second), scenario.ContainerName(a, n), "ping", "-c", "1", "-W", "1", v4); err == nil {
				t.Error("the container still reaches the network it left")
			}
		}
	})

	t.Run("driver names and subnets", func(t *testing.T) {
		for _, driver := range []string{"evio:latest", scenario.PluginName + ":latest"} {
			scenario.Docker(t, a, "network", "create", "-d", driver, "--subnet", "10.17.0.0/24", "--subnet", "10.18.0.0/24", "named")
			for container, ip := range map[string]string{"one": "10.17.0.5", "two": "10.18.0.5", "three": "10.18.0.6"} {
				scenario.Docker(t, a, "run", "-d", "--init", "--name", container, "--network", "named", "--ip", ip, testbed.Image)
			}
			scenario.Exec(t, a, "two", "ping", "-c", "1", "-W", "3", "10.18.0.6")
			if out := scenario.Exec(t, a, "one", "ip", "-4", "address", "show", "dev", "eth0"); !strings.Contains(out, "10.17.0.5/24") {
				t.Errorf("static address: %s", out)
			}
			scenario.Docker(t, a, "rm", "-f", "one", "two", "three")
			scenario.Docker(t, a, "network", "rm", "named")
		}
	})
}
