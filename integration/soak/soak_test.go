//go:build e2e

package soak

import (
	"context"
	"maps"
	"testing"
	"time"

	"evio/integration/scenario"
	"evio/integration/testbed"
	"evio/plugin/config"
)

const (
	// heapFrom is how long a run lasts whose heap is judged. After its first third the tables are
	// full; that of floods that were handed on, 16,384 of 150 bytes, takes the longest, about 2 min.
	heapFrom = 10 * time.Minute
)

// TestSoakSpeed: containers at three sites send each other streams, datagrams, broadcasts and pings
// for EVIO_DURATION, while keys are replaced each minute. One session is direct, two are relayed. In
// the first third the plugin of a is killed, then the switch of b. After that no process grows, and
// all the time each record is decrypted that was sent to the session that it reached.
func TestSoakSpeed(t *testing.T) {
	lasting := scenario.Setting(t, "EVIO_DURATION", 2*time.Minute, time.ParseDuration)
	// A short run has as many rekeys as it needs.
	rekey := max(10*time.Second, min(time.Minute, lasting/6))
	t.Logf("EVIO_DURATION=%v, keys are replaced every %v", lasting, rekey)
	s := newRun(populate(t, rekey), lasting)
	a, b := s.world.Deployment.Sites[0], s.world.Deployment.Sites[1]
	tr := startTraffic(t, s.world, lasting)
	s.began = time.Now()

	s.read(t)
	atStart := s.sessions.clone()
	s.until(t, lasting/9)
	whole := s.sessions.clone()
	s.breaks(t, "the plugin of a is killed", func(ctx context.Context) error { return a.KillPlugin(ctx, scenario.PluginName) })
	s.until(t, 2*lasting/9)
	s.breaks(t, "the switch of b is killed", func(ctx context.Context) error { return b.KillPrograms(ctx, "ovs-vswitchd") })
	s.until(t, lasting/3)
	if err := s.world.Deployment.WaitSessions(scenario.Within(t, talking), s.world.Network.Name); err != nil {
		t.Fatal(err)
	}
	s.read(t)
	broken := s.restart(t)
	settled, calm := s.sessions.clone(), time.Now()
	s.until(t, lasting)
	s.read(t)
	tr.end(t, calm)

	all := func(tunnel) bool { return true }
	notOfA := func(n tunnel) bool { return n.site != a.Name() && n.peer != a.Account.JID }
	for _, phase := range []struct {
		name      string
		from, to  ledger
		concerned func(tunnel) bool
	}{
		{"before anything was killed", atStart, whole, all},
		{"while things were killed, at sites whose plugins were not", whole, broken, notOfA},
		{"after that", settled, s.sessions, all},
	} {
		for _, err := range phase.to.faults(phase.from, phase.concerned) {
			t.Errorf("%s: %v", phase.name, err)
		}
	}
	for _, n := range s.sessions.added(settled) {
		t.Errorf("%v is new: another one has ended while nothing was broken", n)
	}
	s.renewed(t, settled, uint64((lasting-lasting/3)/rekey)-1)
	for site, samples := range s.samples {
		s.describe(t, site)
		if err := otherCounts(samples); err != nil {
			t.Errorf("evio of %s: %v", site, err)
		}
		if lasting >= heapFrom {
			if err := risingHeap(samples); err != nil {
				t.Errorf("evio of %s: %v", site, err)
			}
		}
	}
	scenario.Clean(t, s.world.Deployment, time.Now())
}

// populate starts the sites. Nothing but a TURN server leads to c.
func populate(t *testing.T, rekey time.Duration) *scenario.World {
	t.Helper()
	lab := testbed.Start(t, testbed.SiteConfig{Name: "a"}, testbed.SiteConfig{Name: "b"}, testbed.SiteConfig{Name: "c", NAT: testbed.Symmetric})
	d, err := scenario.Deploy(scenario.Within(t, time.Minute), lab, scenario.Bundle, scenario.TURN("udp"),
		func(_ *scenario.Site, f *config.File) { f.RekeySeconds = int(rekey / time.Second) })
	if err != nil {
		t.Fatal(err)
	}
	w := scenario.Populate(t, d, scenario.Network{Name: "soak", Overlay: "soak", Net: 64})
	n := scenario.OverlayAt(t, w.A(), w.Network.Overlay)
	kinds := map[string]string{}
	for _, s := range n.Sessions {
		kinds[s.JID] = s.Path.Kind
	}
	if want := map[string]string{d.Sites[1].Account.JID: "direct", d.Sites[2].Account.JID: "relay"}; !maps.Equal(kinds, want) {
		t.Fatalf("the paths of a are %v, want %v", kinds, want)
	}
	return w
}
