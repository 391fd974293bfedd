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
