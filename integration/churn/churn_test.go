//go:build e2e

package churn

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"evio/integration/scenario"
	"evio/integration/testbed"
)

// TestChurn: containers come and go at one engine, many at once, while it has a session with
// another; nothing of them is left.
func TestChurn(t *testing.T) {
	lab := testbed.Start(t, testbed.SiteConfig{Name: "a"}, testbed.SiteConfig{Name: "b"})
	d, err := scenario.Deploy(scenario.Within(t, time.Minute), lab, scenario.Bundle)
	if err != nil {
		t.Fatal(err)
	}
	n := scenario.Network{Name: "churn", Net: 41}
	if err := d.Create(scenario.Within(t, 30*time.Second), n); err != nil {
		t.Fatal(err)
	}
	for _, s := range d.Sites {
		removeLater(t, s, n.Name)
	}
	for _, s := range d.Sites {
		scenario.StartContainer(t, s, scenario.ContainerName(s, n), n.Name)
	}
	if err := d.WaitSessions(scenario.Within(t, 20*time.Second), n.Name); err != nil {
		t.Fatal(err)
	}
	a := d.Sites[0]
	api := newEngineAPI(t, a)
	startAndRemove(t, api, n.Name, "first", 4) // connections of the engine, which it keeps
	start := hold(t, a)
	t.Logf("at the start: %v", start)
	t.Run("containers", func(t *testing.T) { churnContainers(t, api, n.Name, start) })
	t.Run("connects", func(t *testing.T) { churnConnects(t, api, n.Name, start) })
	t.Run("compose", func(t *testing.T) { composeTwenty(t, api) })
	scenario.Reached(t, d, n)
	frugal(t, a, start)
}

// removeLater removes a network when the test ends. Docker's own count of a network's
// endpoints may be too high after many came and went at once, in its bridge networks too
// (moby/moby#42119): it refuses, lists no endpoint and does not ask the driver. It puts the
// count right when it starts; then the network has to go.
func removeLater(t *testing.T, s *scenario.Site, network string) {
	t.Helper()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 2*time.Minute)
		defer cancel()
		_, err := s.Docker(ctx, "network", "rm", network)
		if err == nil {
			return
		}
		if !strings.Contains(err.Error(), "has active endpoints") {
			t.Error(err)
			return
		}
		listed, err := s.Docker(ctx, "network", "inspect", "--format", "{{len .Containers}}", network)
		if err != nil || strings.TrimSpace(listed) != "0" {
			t.Errorf("the engine keeps network %s, and lists %q endpoints: %v", network, listed, err)
		}
		if err := s.RestartEngine(ctx); err != nil {
			t.Error(err)
		}
		if _, err := s.Docker(ctx, "network", "rm", network); err != nil {
			t.Errorf("after the engine put its count of endpoints right: %v", err)
		}
		t.Logf("the engine at %s kept network %s, without endpoints, until it was restarted", s.Name(), network)
	})
}

// startAndRemove starts containers at once, then removes them at once.
func startAndRemove(t *testing.T, api engineAPI, network, prefix string, count int) (started, removed time.Duration) {
	t.Helper()
	names := make([]string, count)
	for i := range names {
		names[i] = fmt.Sprintf("%s-%d", prefix, i)
	}
	began := time.Now()
	each(t, names, func(ctx context.Context, _ int, name string) error { return api.run(ctx, name, network) })
	up := time.Now()
	each(t, names, func(ctx context.Context, _ int, name string) error { return api.remove(ctx, name) })
	return up.Sub(began).Round(time.Millisecond), time.Since(up).Round(time.Millisecond)
}

// churnContainers starts and removes fifty containers at once, ten times, and for comparison once
// in a bridge network of Docker's. Nearly all of the time is Docker's, which starts itself again
// for the resolver of each sandbox.
func churnContainers(t *testing.T, api engineAPI, network string, start holdings) {
	const rounds, atOnce = 10, 50
	scenario.Docker(t, api.site, "network", "create", "-d", "bridge", "--subnet", "10.46.0.0/16", "plain")
	started, removed := startAndRemove(t, api, "plain", "plain", atOnce)
	t.Logf("for comparison %d containers in a bridge network: started in %v, removed in %v", atOnce, started, removed)
	// The engine may count endpoints of its own networks, too, that are not there.
	if out, err := api.site.Docker(scenario.Within(t, 20*time.Second), "network", "rm", "plain"); err != nil && !strings.Contains(err.Error(), "active endpoints") {
		t.Fatalf("%v: %s", err, out)
	}
	for round := range rounds {
		started, removed := startAndRemove(t, api, network, fmt.Sprintf("round-%d", round), atOnce)
		now := scenario.Document(t, api.site).Process
		t.Logf("round %d, %d containers: started in %v, removed in %v; %.1f MB heap, %.1f MB resident", round+1, atOnce, started, removed,
			float64(now.HeapBytes)/1e6, float64(now.ResidentBytes)/1e6)
	}
	noneFailed(t, api.site)
	givenBack(t, api.site, start)
}

// noneFailed looks at the calls of containers since the plugin was started; the engine
// only logs some of those that fail.
func noneFailed(t *testing.T, s *scenario.Site) {
	t.Helper()
	for _, method := range []string{"CreateEndpoint", "Join", "Leave", "DeleteEndpoint"} {
		c := call(t, s, method)
		t.Log(described(c))
		if c.Failed > 0 {
			t.Errorf("%d calls of %s failed", c.Failed, method)
		}
	}
}

// churnConnects connects running containers and disconnects them, ten at a time, 500 times.
func churnConnects(t *testing.T, api engineAPI, network string, start holdings) {
	const containers, times = 10, 50
	names := make([]string, containers)
	for i := range names {
		names[i] = fmt.Sprintf("hopper-%d", i)
	}
	each(t, names, func(ctx context.Context, _ int, name string) error { return api.run(ctx, name, "bridge") })
	began := time.Now()
	took := make([][]time.Duration, containers)
	each(t, names, func(ctx context.Context, i int, name string) error {
		for range times {
			began := time.Now()
			if err := api.connect(ctx, network, name); err != nil {
				return err
			}
			took[i] = append(took[i], time.Since(began))
			if err := api.disconnect(ctx, network, name); err != nil {
				return err
			}
		}
		return nil
	})
	var all []time.Duration
	for _, list := range took {
		all = append(all, list...)
	}
	t.Logf("%d connects and disconnects in %v; a connect: %s", len(all), time.Since(began).Round(time.Millisecond), scenario.Spread(all))
	each(t, names, func(ctx context.Context, _ int, name string) error { return api.remove(ctx, name) })
	noneFailed(t, api.site)
	givenBack(t, api.site, start)
}

// composeTwenty: twenty services of one application join at once, and reach each other by name.
func composeTwenty(t *testing.T, api engineAPI) {
	const services = 20
	s := api.site
	scenario.Docker(t, s, "network", "create", "-d", "evio", "--subnet", "10.42.0.0/24", "crowd")
	removeLater(t, s, "crowd")
	startAndRemove(t, api, "crowd", "before", 4)
	start := hold(t, s)
	var file strings.Builder
	file.WriteString("version: \"2.4\"\nservices:\n")
	names := make([]string, services)
	for i := range names {
		names[i] = fmt.Sprintf("s%d", i)
		fmt.Fprintf(&file, "  %s: {image: %q, init: true, command: [sleep, infinity], networks: [crowd]}\n", names[i], testbed.Image)
	}
	file.WriteString("networks:\n  crowd: {external: true}\n")
	dir := filepath.Join(t.TempDir(), "twenty")
	if err := errors.Join(os.Mkdir(dir, 0o700), os.WriteFile(filepath.Join(dir, "docker-compose.yml"), []byte(file.String()), 0o600)); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if out, err := s.Compose(scenario.Within(t, 2*time.Minute), dir, "up", "-d"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Logf("docker-compose up of %d services: %v", services, time.Since(began).Round(time.Millisecond))
	scenario.Exec(t, s, "twenty-s0-1", "sh", "-euc", `for s in `+strings.Join(names, " ")+`; do ping -q -c 1 -W 3 "$s"; done`)
	if out, err := s.Compose(scenario.Within(t, 2*time.Minute), dir, "down", "-t", "1"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	noneFailed(t, s)
	givenBack(t, s, start)
}

// frugal: the memory of evio did not grow by more than what its collector leaves lying.
func frugal(t *testing.T, s *scenario.Site, start holdings) {
	t.Helper()
	const heap, resident = 4e6, 24e6
	var now holdings
	scenario.Until(t, 30*time.Second, func() error {
		now = hold(t, s)
		if now.Heap-start.Heap > heap || now.Resident-start.Resident > resident {
			return fmt.Errorf("%.1f MB of heap and %.1f MB resident; at the start %.1f and %.1f", float64(now.Heap)/1e6, float64(now.Resident)/1e6,
				float64(start.Heap)/1e6, float64(start.Resident)/1e6)
		}
		return nil
	})
	t.Logf("at the end: %v", now)
}
