package scenario

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"evio/integration/testbed"
)

// StartFederation starts three sites that run evio.
func StartFederation(t *testing.T) *Deployment {
	t.Helper()
	if _, err := os.Stat(filepath.Join(Bundle, "rootfs")); err != nil {
		t.Fatalf("no plugin at %s: run make plugin first", Bundle)
	}
	began := time.Now()
	lab := testbed.Start(t, testbed.SiteConfig{Name: "a"}, testbed.SiteConfig{Name: "b"}, testbed.SiteConfig{Name: "c"})
	d, err := Deploy(Within(t, time.Minute), lab, Bundle)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("three sites with evio: %v", time.Since(began).Round(time.Millisecond))
	return d
}

// Pairs calls f for every ordered pair of sites.
func Pairs(d *Deployment, f func(from, to *Site)) {
	for _, from := range d.Sites {
		for _, to := range d.Sites {
			if from != to {
				f(from, to)
			}
		}
	}
}

// Reached fails the test unless the containers of StartOverlay at all sites reach each other.
func Reached(t *testing.T, d *Deployment, n Network) {
	t.Helper()
	Pairs(d, func(from, to *Site) {
		v4, v6 := Addresses(t, to, ContainerName(to, n), n.Name)
		for _, far := range []string{v4, v6} {
			Exec(t, from, ContainerName(from, n), "ping", "-q", "-c", "1", "-W", "3", far)
		}
	})
}
