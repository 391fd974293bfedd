//go:build e2e

package docker

import (
	"context"
	"testing"
	"time"

	"evio/integration/scenario"
	"evio/integration/testbed"
)

// TestStandalone: evio serves calls like Docker's without an engine, and what it
// attaches reaches another site, also after evio has begun anew.
func TestStandalone(t *testing.T) {
	began := time.Now()
	lab := testbed.StartSites(t, testbed.Options{}, testbed.SiteConfig{Name: "a"}, testbed.SiteConfig{Name: "b"})
	d, err := scenario.Standalone(scenario.Within(t, 2*time.Minute), lab)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("two sites with evio: %v", time.Since(began).Round(time.Millisecond))
	o := scenario.Overlay{Name: "pair", Net: 30}
	a, b := d.Sites[0], d.Sites[1]
	for _, s := range d.Sites {
		if err := s.Join(scenario.Within(t, 20*time.Second), o); err != nil {
			t.Fatal(err)
		}
	}
	talk := func() {
		t.Helper()
		if err := d.WaitSessions(scenario.Within(t, 20*time.Second), o.Name); err != nil {
			t.Fatal(err)
		}
		for _, to := range o.Addresses(b) {
			if out, err := a.InNamespace(scenario.Within(t, 20*time.Second), o.Name, "ping", "-c", "3", "-i", "0.2", "-W", "2", to.String()); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		}
	}
	talk()
	for i, end := range []func(context.Context) error{b.KillEvio, b.StopEvio} {
		if err := end(scenario.Within(t, 20*time.Second)); err != nil {
			t.Fatal(err)
		}
		if i == 1 { // a process that ends notifies its peers
			began := time.Now()
			for n, err := a.NetworkStatus(scenario.Within(t, time.Second), o.Name); ; n, err = a.NetworkStatus(scenario.Within(t, time.Second), o.Name) {
				if err == nil && len(n.Sessions) == 0 {
					break
				}
				if time.Since(began) > time.Second {
					t.Fatalf("a second after its peer has ended: %d sessions, %v", len(n.Sessions), err)
				}
			}
			t.Logf("the session is gone %v after the peer's end", time.Since(began).Round(time.Millisecond))
		}
		if err := b.StartEvio(scenario.Within(t, 20*time.Second), testbed.EvioOptions{}); err != nil {
			t.Fatal(err)
		}
		talk()
	}
	for _, s := range d.Sites {
		if err := s.Quit(scenario.Within(t, 20*time.Second), o); err != nil {
			t.Error(err)
		}
	}
}
