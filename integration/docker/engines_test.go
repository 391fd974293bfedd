//go:build e2e

package docker

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"evio/integration/scenario"
	"evio/integration/testbed"
)

// TestOldEngine: Docker 20.10 with docker-compose 1.29, one of each kind of test. All others run on
// a current engine.
func TestOldEngine(t *testing.T) {
	d := deployAt(t,
		place{SiteConfig: testbed.SiteConfig{Name: "a", Tree: testbed.OldTree()}},
		place{SiteConfig: testbed.SiteConfig{Name: "b", Tree: testbed.OldTree()}},
		place{SiteConfig: testbed.SiteConfig{Name: "c", Tree: testbed.OldTree()}})
	for _, s := range d.Sites {
		if version := engineVersion(t, s); !strings.HasPrefix(version, "20.10.") {
			t.Fatalf("the engine of site %s is %s, want 20.10", s.Name(), version)
		}
	}
	t.Run("reach", func(t *testing.T) { testReach(t, d) })
	t.Run("compose", func(t *testing.T) { testCompose(t, d) })
	t.Run("docker", func(t *testing.T) { testDocker(t, d) })
	t.Run("interface names", func(t *testing.T) { testInterfaceNames(t, d) })
	t.Run("start", func(t *testing.T) { testStart(t, d) })
	t.Run("restarts", func(t *testing.T) { testRestarts(t, d) })
}

// TestMixedEngines: engines of different age are one overlay. Site b has Docker 20.10, the others
// a current one, that of c with user namespaces.
func TestMixedEngines(t *testing.T) {
	d := deployAt(t,
		place{SiteConfig: testbed.SiteConfig{Name: "a"}},
		place{SiteConfig: testbed.SiteConfig{Name: "b", Tree: testbed.OldTree()}},
		place{testbed.SiteConfig{Name: "c"}, testbed.EngineOptions{Args: []string{"--userns-remap=default"}}})
	a, b, c := d.Sites[0], d.Sites[1], d.Sites[2]
	if old, current := engineVersion(t, b), engineVersion(t, a); !strings.HasPrefix(old, "20.10.") || strings.HasPrefix(current, "20.10.") {
		t.Fatalf("site a runs Docker %s, site b %s", current, old)
	}
	n := scenario.Network{Name: "mixed", Net: 58}
	scenario.StartOverlay(t, d, n)
	if users := scenario.Exec(t, c, scenario.ContainerName(c, n), "cat", "/proc/self/uid_map"); strings.Fields(users)[1] == "0" {
		t.Fatalf("root of a container of site c is the host's: %s", users)
	}
	scenario.Reached(t, d, n)
	for i, order := range [][2]*scenario.Site{{a, b}, {b, a}} {
		owner, other := order[0], order[1]
		addr := fmt.Sprintf("10.%d.200.%d", n.Net, i+1)
		t.Run("address of "+owner.Name(), func(t *testing.T) { taken(t, n, owner, other, addr) })
	}
	t.Run("IPv6 only", func(t *testing.T) { testIPv6Only(t, a, c) })
	t.Run("swarm", func(t *testing.T) { testSwarm(t, a, b) })
}

// testIPv6Only: a network without IPv4, which engines of 28 and newer make, spans sites. What a
// container has beside it is Docker's own bridge, which has IPv4 alone.
func testIPv6Only(t *testing.T, a, c *scenario.Site) {
	for i, s := range []*scenario.Site{a, c} {
		scenario.Docker(t, s, "network", "create", "-d", "evio", "--ipv4=false", "--ipv6", "--subnet", "fd00:64::/64", "--ip-range", fmt.Sprintf("fd00:64:0:0:%d::/80", i+1), "six")
		t.Cleanup(func() { _, _ = s.Docker(context.WithoutCancel(t.Context()), "network", "rm", "six") })
		scenario.StartContainer(t, s, "six-"+s.Name(), "six", "--ip6", fmt.Sprintf("fd00:64:0:0:%d::80", i+1))
	}
	scenario.UntilContext(t, 20*time.Second, func(ctx context.Context) error {
		_, err := a.Exec(ctx, "six-a", "ping", "-q", "-c", "1", "-W", "1", "fd00:64:0:0:2::80")
		return err
	})
	if out := scenario.Exec(t, a, "six-a", "ip", "-4", "address", "show", "dev", "eth0"); out != "" {
		t.Errorf("an IPv4 address on a network without: %s", out)
	}
}

// place is a site and how its engine runs.
type place struct {
	testbed.SiteConfig
	engine testbed.EngineOptions
}

// deployAt is scenario.StartFederation for sites of several kinds.
func deployAt(t *testing.T, places ...place) *scenario.Deployment {
	t.Helper()
	sites := make([]testbed.SiteConfig, len(places))
	for i, p := range places {
		sites[i] = p.SiteConfig
	}
	lab := testbed.StartSites(t, testbed.Options{}, sites...)
	group, ctx := errgroup.WithContext(scenario.Within(t, 2*time.Minute))
	for _, p := range places {
		group.Go(func() error { return lab.Site(p.Name).StartEngine(ctx, p.engine) })
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	d, err := scenario.Deploy(scenario.Within(t, time.Minute), lab, scenario.Bundle)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func engineVersion(t *testing.T, s *scenario.Site) string {
	t.Helper()
	return scenario.Docker(t, s, "version", "--format", "{{.Server.Version}}")
}
