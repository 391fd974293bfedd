//go:build e2e

package docker

import (
	"context"
	"testing"
	"time"

	"evio/integration/scenario"
)

// testBadInput: what cannot work is refused with one sentence that says what to do,
// leaves nothing behind, and the plugin goes on answering.
func testBadInput(t *testing.T, d *scenario.Deployment) {
	s := d.Sites[0]
	scenario.Docker(t, s, "network", "create", "-d", "evio", "--subnet", "10.27.0.0/24", "-o", "evio.overlay=taken", "taken")
	t.Cleanup(func() {
		if _, err := s.Docker(context.WithoutCancel(t.Context()), "network", "rm", "taken"); err != nil {
			t.Error(err)
		}
	})
	before := remains(t, s)
	testBadOptions(t, s)
	if now := remains(t, s); now != before {
		t.Errorf("left behind: %s\nbefore: %s", now, before)
	}
	t.Run("settings", func(t *testing.T) { testBadVariables(t, d.Sites[1]) })
	t.Run("broken configuration file", func(t *testing.T) {
		b := d.Sites[1]
		if err := b.WriteFile(scenario.Within(t, 10*time.Second), "/etc/evio/config.json", []byte(`{"udp_port": "many"}`), 0o600); err != nil {
			t.Fatal(err)
		}
		bounce(t, b)
		refused(t, b, []string{"network", "create", "-d", "evio", "wrong"}, "/etc/evio/config.json", "udp_port")
		if err := b.Configure(scenario.Within(t, 10*time.Second), d.Lab); err != nil {
			t.Fatal(err)
		}
		bounce(t, b)
		scenario.Docker(t, b, "network", "create", "-d", "evio", "right")
		scenario.Docker(t, b, "network", "rm", "right")
	})
	t.Run("unreachable Open vSwitch", func(t *testing.T) {
		c := d.Sites[2]
		scenario.Docker(t, c, "plugin", "disable", "-f", scenario.PluginName)
		if _, err := c.Script(scenario.Within(t, 10*time.Second), "rm -rf /run/evio/ovs && echo in the way >/run/evio/ovs"); err != nil {
			t.Fatal(err)
		}
		scenario.Docker(t, c, "plugin", "enable", scenario.PluginName)
		refused(t, c, []string{"network", "create", "-d", "evio", "wrong"}, "Open vSwitch cannot be used", "/run/evio/ovs", "ovs.run_dir")
		if _, err := c.Script(scenario.Within(t, 10*time.Second), "rm /run/evio/ovs"); err != nil {
			t.Fatal(err)
		}
		scenario.UntilContext(t, 20*time.Second, func(ctx context.Context) error {
			_, err := c.Docker(ctx, "network", "create", "-d", "evio", "right")
			return err
		})
		scenario.Docker(t, c, "network", "rm", "right")
	})
	scenario.Docker(t, s, "network", "create", "-d", "evio", "--subnet", "10.28.0.0/24", "right")
	scenario.Docker(t, s, "network", "rm", "right")
}

// refused runs a docker command that must fail with one sentence, and returns that.
func refused(t *testing.T, s *scenario.Site, args []string, want ...string) string {
	t.Helper()
	_, err := s.Docker(scenario.Within(t, 40*time.Second), args...)
	sentence := says(t, err, "NetworkDriver.CreateNetwork: ", want...)
	if out := scenario.Docker(t, s, "network", "ls", "--quiet", "--filter", "name=wrong"); out != "" {
		t.Errorf("the network was made all the same: %s", out)
	}
	return sentence
}

// bounce disables and enables the plugin.
func bounce(t *testing.T, s *scenario.Site) {
	t.Helper()
	scenario.Docker(t, s, "plugin", "disable", "-f", scenario.PluginName)
	scenario.Docker(t, s, "plugin", "enable", scenario.PluginName)
}

// remains is what calls may leave: devices with their bridges, and stored files.
func remains(t *testing.T, s *scenario.Site) string {
	t.Helper()
	out, err := s.Script(scenario.Within(t, 10*time.Second), "ls -d /sys/class/net/ev* | sort; find /var/lib/evio/docker -type f | sort")
	if err != nil {
		t.Fatal(err)
	}
	return out
}
