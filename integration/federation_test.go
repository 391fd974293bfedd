//go:build e2e

package integration

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"evio/integration/scenario"
	"evio/integration/testbed"
)

// bundle is the plugin that `make plugin` made.
const bundle = "../dist/plugin"

// TestFederation is one federation of three sites, each behind a port-restricted
// NAT of its own, and what a user can see of it. The parts share the lab; each
// cleans up what it made.
func TestFederation(t *testing.T) {
	d := deploy(t)
	t.Run("reach", func(t *testing.T) { testReach(t, d) })
	t.Run("floods", func(t *testing.T) { testFloods(t, d) })
	t.Run("compose", func(t *testing.T) { testCompose(t, d) })
	t.Run("compose file", func(t *testing.T) { testComposeFile(t, d) })
	t.Run("outside", func(t *testing.T) { testOutside(t, d) })
	t.Run("docker", func(t *testing.T) { testDocker(t, d) })
	t.Run("isolation", func(t *testing.T) { testIsolation(t, d) })
	t.Run("spoofing", func(t *testing.T) { testSpoofing(t, d) })
	t.Run("privacy", func(t *testing.T) { testPrivacy(t, d) })
	t.Run("stranger", func(t *testing.T) { testStranger(t, d) })
	t.Run("bad input", func(t *testing.T) { testBadInput(t, d) })
	t.Run("interface names", func(t *testing.T) { testInterfaceNames(t, d) })
	t.Run("addresses", func(t *testing.T) { testAddresses(t, d) })
	t.Run("start", func(t *testing.T) { testStart(t, d) })
	t.Run("status", func(t *testing.T) { testStatus(t, d) })
	t.Run("outage", func(t *testing.T) { testOutage(t, d) })
	t.Run("restarts", func(t *testing.T) { testRestarts(t, d) })
	t.Run("collect", func(t *testing.T) { testCollect(t, d) })
}

// deploy starts three sites that run evio.
func deploy(t *testing.T) *scenario.Deployment {
	t.Helper()
	if _, err := os.Stat(filepath.Join(bundle, "rootfs")); err != nil {
		t.Fatalf("no plugin at %s: run make plugin first", bundle)
	}
	began := time.Now()
	lab := testbed.Start(t, testbed.SiteConfig{Name: "a"}, testbed.SiteConfig{Name: "b"}, testbed.SiteConfig{Name: "c"})
	d, err := scenario.Deploy(within(t, time.Minute), lab, bundle)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("three sites with evio: %v", time.Since(began).Round(time.Millisecond))
	return d
}

// within returns a context that ends with the test or after the time given.
func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// overlayOf makes a network at all sites with a container each, named after site
// and network, connected to the others; it is removed when the test ends.
func overlayOf(t *testing.T, d *scenario.Deployment, n scenario.Network) {
	t.Helper()
	create(t, d, n)
	for _, s := range d.Sites {
		run(t, s, name(s, n), n.Name)
	}
	if err := d.WaitSessions(within(t, 20*time.Second), n.Name); err != nil {
		t.Fatal(err)
	}
}

func name(s *scenario.Site, n scenario.Network) string { return s.Name() + "-" + n.Name }

func create(t *testing.T, d *scenario.Deployment, n scenario.Network) {
	t.Helper()
	t.Cleanup(func() {
		if err := d.Remove(context.WithoutCancel(t.Context()), n.Name); err != nil {
			t.Error(err)
		}
	})
	if err := d.Create(within(t, 30*time.Second), n); err != nil {
		t.Fatal(err)
	}
}

// run starts a container that is removed when the test ends.
func run(t *testing.T, s *scenario.Site, container, network string, args ...string) {
	t.Helper()
	t.Cleanup(func() {
		if _, err := s.Docker(context.WithoutCancel(t.Context()), "rm", "-f", container); err != nil {
			t.Error(err)
		}
	})
	if err := s.RunContainer(within(t, 30*time.Second), container, network, args...); err != nil {
		t.Fatal(err)
	}
}

// exec runs a command in a container and fails the test if it fails.
func exec(t *testing.T, s *scenario.Site, container string, args ...string) string {
	t.Helper()
	out, err := s.Exec(within(t, 30*time.Second), container, args...)
	if err != nil {
		t.Fatalf("site %s: %v", s.Name(), err)
	}
	return out
}

func addresses(t *testing.T, s *scenario.Site, container, network string) (v4, v6 string) {
	t.Helper()
	v4, v6, err := s.Addresses(within(t, 10*time.Second), container, network)
	if err != nil {
		t.Fatal(err)
	}
	return v4, v6
}

// pairs calls f for every ordered pair of sites.
func pairs(d *scenario.Deployment, f func(from, to *scenario.Site)) {
	for _, from := range d.Sites {
		for _, to := range d.Sites {
			if from != to {
				f(from, to)
			}
		}
	}
}
