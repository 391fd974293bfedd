package scenario

import (
	"context"
	"testing"
	"time"
)

// StartOverlay makes a network at all sites with a container each, named after site
// and network, connected to the others; it is removed when the test ends.
func StartOverlay(t *testing.T, d *Deployment, n Network) {
	t.Helper()
	CreateNetwork(t, d, n)
	for _, s := range d.Sites {
		StartContainer(t, s, ContainerName(s, n), n.Name)
	}
	if err := d.WaitSessions(Within(t, 20*time.Second), n.Name); err != nil {
		t.Fatal(err)
	}
}

// ContainerName is what StartOverlay calls the container of a site in a network.
func ContainerName(s *Site, n Network) string { return s.Name() + "-" + n.Name }

// CreateNetwork makes a network at all sites; it is removed when the test ends.
func CreateNetwork(t *testing.T, d *Deployment, n Network) {
	t.Helper()
	t.Cleanup(func() {
		if err := d.Remove(context.WithoutCancel(t.Context()), n.Name); err != nil {
			t.Error(err)
		}
	})
	if err := d.Create(Within(t, 30*time.Second), n); err != nil {
		t.Fatal(err)
	}
}
