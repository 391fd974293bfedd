//go:build e2e

package docker

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"evio/integration/scenario"
	"evio/integration/testbed"
)

// testSwarm: a service in a swarm of one node runs on a network of evio's whose addresses and options
// are a config network's, and another site reaches its tasks.
func testSwarm(t *testing.T, s, far *scenario.Site) {
	later := func(args ...string) {
		t.Cleanup(func() {
			if out, err := s.Docker(context.WithoutCancel(t.Context()), args...); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
	scenario.Docker(t, s, "swarm", "init", "--advertise-addr", s.Addr().String())
	later("swarm", "leave", "--force")
	scenario.Docker(t, s, "network", "create", "--config-only", "--subnet", "10.59.0.0/16", "--ip-range", "10.59.1.0/24", "-o", "evio.overlay=swarmed", "ranges")
	later("network", "rm", "ranges")

	// Only a managed plugin's own name is known to a swarm.
	if out, err := s.Docker(scenario.Within(t, 30*time.Second), "network", "create", "-d", "evio", "--scope", "swarm", "--config-from", "ranges", "v1"); err == nil || !strings.Contains(err.Error(), "swarm mode") {
		t.Errorf("-d evio in a swarm: %v: %s", err, out)
	}
	scenario.Docker(t, s, "network", "create", "-d", scenario.PluginName+":latest", "--scope", "swarm", "--config-from", "ranges", "swarmed")
	later("network", "rm", "swarmed")
	scenario.Docker(t, s, "service", "create", "--detach", "--no-resolve-image", "--init", "--name", "crowd", "--replicas", "2", "--network", "swarmed", testbed.Image, "sleep", "infinity")
	t.Cleanup(func() { endService(t, s, "crowd") })

	scenario.Docker(t, far, "network", "create", "-d", "evio", "--subnet", "10.59.0.0/16", "--ip-range", "10.59.2.0/24", "swarmed")
	t.Cleanup(func() { _, _ = far.Docker(context.WithoutCancel(t.Context()), "network", "rm", "swarmed") })
	scenario.StartContainer(t, far, "outsider", "swarmed")
	var tasks []string
	scenario.UntilContext(t, 30*time.Second, func(ctx context.Context) error {
		ids, err := s.Docker(ctx, "ps", "--quiet", "--filter", "label=com.docker.swarm.service.name=crowd")
		if err == nil && len(strings.Fields(ids)) != 2 {
			err = fmt.Errorf("%d tasks of 2 run", len(strings.Fields(ids)))
		}
		tasks = strings.Fields(ids)
		return err
	})
	for _, task := range tasks {
		address := scenario.Docker(t, s, "inspect", "--format", "{{.NetworkSettings.Networks.swarmed.IPAddress}}", task)
		if !strings.HasPrefix(address, "10.59.1.") {
			t.Errorf("a task has the address %q, want one of 10.59.1.0/24", address)
		}
		scenario.UntilContext(t, 20*time.Second, func(ctx context.Context) error {
			_, err := far.Exec(ctx, "outsider", "ping", "-q", "-c", "1", "-W", "1", address)
			return err
		})
	}
}

// endService removes a service and waits for the end of its tasks, which hold the network.
func endService(t *testing.T, s *scenario.Site, name string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 30*time.Second)
	defer cancel()
	if _, err := s.Docker(ctx, "service", "rm", name); err != nil {
		t.Error(err)
		return
	}
	if err := scenario.Await(ctx, func() error {
		left, err := s.Docker(ctx, "ps", "--all", "--quiet", "--filter", "label=com.docker.swarm.service.name="+name)
		if err == nil && left != "" {
			err = fmt.Errorf("tasks of %s are left: %s", name, left)
		}
		return err
	}); err != nil {
		t.Error(err)
	}
}
