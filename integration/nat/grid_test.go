//go:build e2e

package nat

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"evio/integration/scenario"
	"evio/integration/testbed"
)

// TestNATGrid: each pair of kinds of NAT ends on the path that it should, by status
// and by capture at the routers.
func TestNATGrid(t *testing.T) {
	began := time.Now()
	var sites []testbed.SiteConfig
	for i, kind := range gridKinds {
		for _, suffix := range []string{"a", "b"} {
			sites = append(sites, testbed.SiteConfig{Name: fmt.Sprintf("k%d%s", i, suffix), NAT: kind})
		}
	}
	g := newGrid(t, sites, scenario.TURN("udp", "tcp", "tls"))
	t.Logf("%d sites with evio: %v", len(sites), time.Since(began).Round(time.Millisecond))

	var cells []*cell
	for i, a := range gridKinds {
		for j := i; j < len(gridKinds); j++ {
			b := gridKinds[j]
			cells = append(cells, &cell{
				A: a.String(), B: b.String(), Way: wantedWay(a, b), a: g.Sites[2*i], b: g.Sites[2*j+1],
				overlay: scenario.Overlay{Name: fmt.Sprintf("cell-%d-%d", i, j), Net: 40 + len(cells)},
			})
		}
	}
	t.Run("cells", func(t *testing.T) {
		for _, c := range cells {
			t.Run(c.A+" and "+c.B, func(t *testing.T) {
				t.Parallel()
				g.check(t, c)
			})
		}
	})
	if t.Failed() || slices.ContainsFunc(cells, func(c *cell) bool { return c.SetUp == 0 }) {
		return // there is no whole grid to judge
	}
	judge(t, cells)
	keep(t, cells)
	t.Logf("the whole grid: %v", time.Since(began).Round(time.Second))
}

// TestNATGridTLS: where only TLS to the TURN server passes, that is the path.
func TestNATGridTLS(t *testing.T) {
	g := newGrid(t, []testbed.SiteConfig{
		{Name: "a", NAT: testbed.UDPBlocked}, {Name: "b", NAT: testbed.UDPBlocked}, {Name: "c"},
	}, scenario.TURN("tls"))
	for i, pair := range [][2]int{{0, 1}, {0, 2}} {
		a, b := g.Sites[pair[0]], g.Sites[pair[1]]
		c := &cell{
			A: a.Router.NAT().String(), B: b.Router.NAT().String(), Way: "tls", a: a, b: b,
			overlay: scenario.Overlay{Name: fmt.Sprintf("tls-%d", i), Net: 40 + i},
		}
		t.Run(c.A+" and "+c.B, func(t *testing.T) { g.check(t, c) })
	}
}

// TestNATGridSecret: a TURN server that shares a secret with its users gives each of them
// credentials for a time.
func TestNATGridSecret(t *testing.T) {
	g := newGrid(t, []testbed.SiteConfig{{Name: "a", NAT: testbed.Symmetric}, {Name: "b", NAT: testbed.Symmetric}}, scenario.TURNSecret())
	g.check(t, &cell{
		A: testbed.Symmetric.String(), B: testbed.Symmetric.String(), Way: "udp", a: g.Sites[0], b: g.Sites[1],
		overlay: scenario.Overlay{Name: "secret", Net: 40},
	})
}
