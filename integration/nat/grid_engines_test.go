//go:build e2e

package nat

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"evio/integration/scenario"
	"evio/integration/testbed"
)

// TestNATGridEngines: cells of the grid on real engines; containers reach each other.
func TestNATGridEngines(t *testing.T) {
	if _, err := os.Stat(filepath.Join(scenario.Bundle, "rootfs")); err != nil {
		t.Fatalf("no plugin at %s: run make plugin first", scenario.Bundle)
	}
	lab := testbed.Start(t,
		testbed.SiteConfig{Name: "home"}, testbed.SiteConfig{Name: "symmetric", NAT: testbed.Symmetric},
		testbed.SiteConfig{Name: "blocked", NAT: testbed.UDPBlocked}, testbed.SiteConfig{Name: "open", NAT: testbed.None})
	d, err := scenario.Deploy(scenario.Within(t, time.Minute), lab, scenario.Bundle,
		scenario.TURN("udp", "tcp"), scenario.At("blocked", scenario.TURN("tls")))
	if err != nil {
		t.Fatal(err)
	}
	g := record(t, d)
	home, symmetric, blocked, public := d.Sites[0], d.Sites[1], d.Sites[2], d.Sites[3]
	for i, c := range []*cell{
		{Way: "udp", a: home, b: symmetric},
		{Way: "tls", a: blocked, b: home},
		{Way: "direct", a: public, b: symmetric},
	} {
		t.Run(c.a.Name()+" and "+c.b.Name(), func(t *testing.T) {
			n := scenario.Network{Name: c.a.Name() + "-" + c.b.Name(), Net: 60 + i}
			c.overlay.Name = n.Name
			if err := c.each(scenario.Within(t, 30*time.Second), func(ctx context.Context, s *scenario.Site) error { return s.Create(ctx, n) }); err != nil {
				t.Fatal(err)
			}
			scenario.StartContainer(t, c.a, scenario.ContainerName(c.a, n), n.Name)
			scenario.StartContainer(t, c.b, scenario.ContainerName(c.b, n), n.Name)
			ends := c.await(t)
			t.Logf("%s, set up in %.0f ms", c.Way, millis(ends[0].Established.Sub(ends[0].Opened)))
			v4, v6 := scenario.Addresses(t, c.b, scenario.ContainerName(c.b, n), n.Name)
			for _, to := range []string{v4, v6} {
				scenario.Exec(t, c.a, scenario.ContainerName(c.a, n), "ping", "-c", "5", "-s", strconv.Itoa(scenario.FrameSize), "-i", "0.1", "-W", "2", to)
			}
			g.checkPath(t, c)
		})
	}
}
