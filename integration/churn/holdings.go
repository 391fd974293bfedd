//go:build e2e

package churn

import (
	"fmt"
	"testing"
	"time"

	"evio/integration/scenario"
)

// holdings is what a site has, and must not keep for containers that are gone.
type holdings struct {
	scenario.Usage
	Endpoints, Entries int // of evio's networks; entries of the directory
	Links              int // network devices of the host
	Stored             int // files in evio's state directory
	Switch             int // descriptors of ovs-vswitchd

	Heap, Resident int64 // bytes of the evio process
}

// hold measures a site.
func hold(t *testing.T, s *scenario.Site) holdings {
	t.Helper()
	h := holdings{Usage: scenario.UsageOf(t, s)}
	d := scenario.Document(t, s)
	h.Heap, h.Resident = d.Process.HeapBytes, d.Process.ResidentBytes
	for _, n := range d.Networks {
		h.Endpoints += len(n.Endpoints)
		h.Entries += len(n.Directory)
	}
	out, err := s.Script(scenario.Within(t, 10*time.Second), `
ip -o link | wc -l
find /var/lib/evio -type f | wc -l
ls "/proc/$(pidof ovs-vswitchd)/fd" | wc -l`)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscan(out, &h.Links, &h.Stored, &h.Switch); err != nil {
		t.Fatalf("%q: %v", out, err)
	}
	return h
}

// near reports whether no count has grown, or shrunk, by more than 2. Memory is not looked at.
func (h holdings) near(g holdings) bool {
	differ := func(a, b int) bool { return max(a-b, b-a) > 2 }
	return h.Near(g.Usage) && !differ(h.Endpoints, g.Endpoints) && !differ(h.Entries, g.Entries) &&
		!differ(h.Links, g.Links) && !differ(h.Stored, g.Stored) && !differ(h.Switch, g.Switch)
}

func (h holdings) String() string {
	return fmt.Sprintf("%d goroutines, %d descriptors (ovs-vswitchd %d), %d TAPs, %d ports, %d endpoints, %d directory entries, "+
		"%d devices, %d stored files, %d sessions, %.1f MB heap, %.1f MB resident", h.Goroutines, h.Descriptors, h.Switch, h.TAPs, h.Ports,
		h.Endpoints, h.Entries, h.Links, h.Stored, h.Sessions, float64(h.Heap)/1e6, float64(h.Resident)/1e6)
}

// givenBack waits until a site has again what it had, and fails the test if it does not in 30 s.
func givenBack(t *testing.T, s *scenario.Site, start holdings) {
	t.Helper()
	began := time.Now()
	var now holdings
	scenario.Until(t, 30*time.Second, func() error {
		if now = hold(t, s); !now.near(start) {
			return fmt.Errorf("%s has %v; at the start %v", s.Name(), now, start)
		}
		return nil
	})
	t.Logf("given back after %v: %v", time.Since(began).Round(time.Millisecond), now)
}
