package scenario

import (
	"testing"
	"time"

	"evio/integration/testbed"
)

// StartStandalone starts sites with evio and without engines.
func StartStandalone(t *testing.T, change Change, sites ...testbed.SiteConfig) *Deployment {
	t.Helper()
	lab := testbed.StartSites(t, testbed.Options{}, sites...)
	var changes []Change
	if change != nil {
		changes = append(changes, change)
	}
	d, err := Standalone(Within(t, 2*time.Minute), lab, changes...)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// JoinAll makes the overlay at all sites and waits until they are connected.
func JoinAll(t *testing.T, d *Deployment, o Overlay) {
	t.Helper()
	for _, s := range d.Sites {
		if err := s.Join(Within(t, 20*time.Second), o); err != nil {
			t.Fatal(err)
		}
	}
	// Sites that came before their room was made look for it again after 30 s.
	if err := d.WaitSessions(Within(t, 45*time.Second), o.Name); err != nil {
		t.Fatal(err)
	}
}
