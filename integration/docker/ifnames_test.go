//go:build e2e

package docker

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"evio/driver/status"
	"evio/integration/scenario"
	"evio/integration/testbed"
)

// testInterfaceNames: interfaces inside of containers are called as the network's prefix and
// the attachment's option say, also after a restart and when connected to a running container.
func testInterfaceNames(t *testing.T, d *scenario.Deployment) {
	s := d.Sites[0]
	version := scenario.Docker(t, s, "version", "--format", "{{.Server.Version}}")
	var major, minor int
	if _, err := fmt.Sscanf(version, "%d.%d", &major, &minor); err != nil {
		t.Fatalf("version %q of the engine: %v", version, err)
	}
	const prefix, ifName = "com.docker.network.container_iface_prefix", "com.docker.network.endpoint.ifname"
	for i, args := range [][]string{{"lans", "-o", prefix + "=lan"}, {"wans"}} {
		scenario.Docker(t, s, append([]string{"network", "create", "-d", "evio", "--subnet", fmt.Sprintf("10.29.%d.0/24", i)}, args...)...)
		t.Cleanup(func() {
			if _, err := s.Docker(context.WithoutCancel(t.Context()), "network", "rm", args[0]); err != nil {
				t.Error(err)
			}
		})
	}
	// The interface with the address in the network is called so.
	called := func(container, network, want string) {
		t.Helper()
		v4 := scenario.Docker(t, s, "inspect", "--format", "{{with index .NetworkSettings.Networks "+strconv.Quote(network)+"}}{{.IPAddress}}{{end}}", container)
		got := strings.Fields(scenario.Exec(t, s, container, "ip", "-o", "-4", "address", "show", "to", v4))
		if len(got) < 2 || got[1] != want {
			t.Errorf("Docker %s: interface of %s in %s: %q, want %s", version, container, network, got, want)
		}
	}
	scenario.StartContainer(t, s, "prefixed", "lans")
	scenario.StartContainer(t, s, "named", "name=wans,driver-opt="+ifName+"=up0")
	scenario.Docker(t, s, "network", "connect", "--driver-opt", ifName+"=wan0", "wans", "prefixed")
	scenario.Docker(t, s, "network", "connect", "--driver-opt", ifName+"=up1", "lans", "named")
	check := func() {
		t.Helper()
		called("prefixed", "lans", "lan0")
		called("prefixed", "wans", "wan0")
		called("named", "wans", "up0")
		called("named", "lans", "up1")
	}
	check()
	scenario.Docker(t, s, "restart", "-t", "1", "prefixed")
	scenario.Docker(t, s, "network", "disconnect", "wans", "prefixed")
	scenario.Docker(t, s, "network", "connect", "--driver-opt", ifName+"=wan0", "wans", "prefixed")
	called("prefixed", "lans", "lan0")
	takesNames := major > 29 || major == 29 && minor >= 8
	if takesNames { // older ones count on, since the interface was gone before they looked for it
		called("prefixed", "wans", "wan0")
	}
	scenario.Docker(t, s, "restart", "-t", "1", "prefixed", "named")
	called("prefixed", "lans", "lan0")
	called("prefixed", "wans", "wan0")

	const free = "store"
	if takesNames {
		check()
		scenario.StartContainer(t, s, "free", "name=wans,driver-opt="+ifName+"="+free)
		called("free", "wans", free)
		return
	}
	_, err := s.Docker(scenario.Within(t, 30*time.Second), "run", "--rm", "--network", "name=wans,driver-opt="+ifName+"="+free, "--entrypoint", "true", testbed.Image)
	says(t, err, "NetworkDriver.CreateEndpoint: ", ifName, free, "Docker "+version, "such as lan0", "29.8")
	doc, err := s.Status(scenario.Within(t, 10*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	// In which order they are numbered at a start is the engine's.
	if !slices.ContainsFunc(doc.LastErrors, func(e status.LogEvent) bool { return strings.Contains(e.Text, "interface up1 may get another number") }) {
		t.Error("the status does not say that up1 may get another number")
	}
	swapped := strings.Contains(scenario.Exec(t, s, "named", "ip", "-o", "-4", "address", "show", "dev", "up0"), "10.29.0.")
	t.Logf("Docker %s: up0 and up1 are swapped after a restart: %v", version, swapped)
}
