//go:build e2e

package applications

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"evio/integration/scenario"
)

// application is a row: what some program sends, and what came of it.
type application struct {
	name string
	run  func(t *testing.T, s *applications, w way) tally
	// exception has the texts of a tally that evio does not deliver, on purpose.
	exception []string
}

// tally is what came: how often each text, such as "1200 bytes".
type tally map[string]int

// end is a container.
type end struct {
	scenario.Spot
	v4, v6, mac string
}

// way is from one container to another.
type way struct {
	name     string
	from, to end
}

// applications are the containers between which every row runs.
type applications struct {
	d       *scenario.Deployment
	network scenario.Network
	bridge  way   // of Docker's own
	evio    []way // at one site, across two
	third   end   // beside those at the first site
	rates   map[string]float64
	wanted  map[string]tally // what came over the bridge, by row
}

// across is the name of the way between two sites.
const across = "across"

// lossLimit is which part of what comes over the bridge evio may lose.
const lossLimit = 0.01

// newApplications makes both networks and their containers.
func newApplications(t *testing.T, d *scenario.Deployment) *applications {
	t.Helper()
	const mtu = "com.docker.network.driver.mtu=1400"
	a, b := d.Sites[0], d.Sites[1]
	s := &applications{d: d, network: scenario.Network{Name: "apps", Overlay: "apps", Net: 61, Args: []string{"-o", mtu}}, wanted: map[string]tally{}}
	scenario.StartOverlay(t, d, s.network)
	t.Cleanup(func() {
		if _, err := a.Docker(context.WithoutCancel(t.Context()), "network", "rm", "control"); err != nil {
			t.Error(err)
		}
	})
	scenario.Docker(t, a, "network", "create", "-d", "bridge", "--ipv6", "--subnet", "10.62.0.0/16", "--subnet", "fd00:62::/64", "-o", mtu, "control")
	for _, container := range []string{"apps-2", "apps-3"} {
		scenario.StartContainer(t, a, container, s.network.Name)
	}
	for _, container := range []string{"control-1", "control-2"} {
		scenario.StartContainer(t, a, container, "control")
	}
	first, second, far := s.end(t, a, scenario.ContainerName(a, s.network), s.network.Name), s.end(t, a, "apps-2", s.network.Name), s.end(t, b, scenario.ContainerName(b, s.network), s.network.Name)
	s.third = s.end(t, a, "apps-3", s.network.Name)
	s.bridge = way{"bridge", s.end(t, a, "control-1", "control"), s.end(t, a, "control-2", "control")}
	s.evio = []way{{"same site", first, second}, {across, first, far}}
	s.meet(t)
	return s
}

// meet lets the containers reach each other: nothing of the first contact belongs into a row.
func (s *applications) meet(t *testing.T) {
	t.Helper()
	for _, w := range append([]way{s.bridge}, s.evio...) {
		for _, address := range []string{w.to.v4, w.to.v6} {
			w.from.run(t, "ping", "-c", "1", "-w", "10", address)
		}
	}
}

func (s *applications) end(t *testing.T, site *scenario.Site, container, network string) end {
	t.Helper()
	spot, err := site.Spot(scenario.Within(t, 10*time.Second), container, network)
	if err != nil {
		t.Fatal(err)
	}
	e := end{Spot: spot, v4: spot.Addresses[0], v6: spot.Addresses[1]}
	e.mac = strings.TrimSpace(e.run(t, "ip", "-o", "link", "show", "dev", "eth0"))
	_, after, ok := strings.Cut(e.mac, "link/ether ")
	if !ok {
		t.Fatalf("container %s has no MAC address: %s", container, e.mac)
	}
	e.mac = strings.Fields(after)[0]
	return e
}

// run runs a program of the site's host in the container's network namespace.
func (e end) run(t *testing.T, args ...string) string {
	t.Helper()
	out, err := e.Site.Run(scenario.Within(t, 40*time.Second), e.Inside(args...)...)
	if err != nil {
		t.Fatalf("container %s: %v", e.Container, err)
	}
	return out
}

// ear starts a probe that prints when it listens and what came when it ends.
func (e end) ear(t *testing.T, args ...string) scenario.Job {
	t.Helper()
	p, err := e.Site.Start(scenario.Within(t, 10*time.Second), fmt.Sprintf("%s-%s-%d", e.Container, args[0], time.Now().UnixNano()),
		e.Inside(append([]string{"probe"}, args...)...)...)
	if err != nil {
		t.Fatal(err)
	}
	j := scenario.Job{Process: p, Name: args[0]}
	scenario.Until(t, 10*time.Second, func() error {
		var l struct{ Listening string }
		if err := j.Last(&l); err != nil {
			return err
		}
		if l.Listening == "" {
			return fmt.Errorf("%s does not listen", j.Name)
		}
		return nil
	})
	return j
}

// compare runs a row over the bridge, unless it has been, and over some ways of evio.
func (s *applications) compare(t *testing.T, a application, ways []way) {
	want, known := s.wanted[a.name]
	if !known {
		want = a.run(t, s, s.bridge)
		s.wanted[a.name] = want
		t.Logf("%s: %v", s.bridge.name, want)
	}
	if len(want) == 0 {
		t.Fatal("nothing came over Docker's bridge: the row shows nothing")
	}
	for _, w := range ways {
		lost := lossesOf(t, s.d, s.network)
		got := a.run(t, s, w)
		t.Logf("%s: %v", w.name, got)
		faults := got.faults(want, a.exception)
		for _, fault := range faults {
			t.Errorf("%s: %s", w.name, fault)
		}
		if len(faults) > 0 {
			now := lossesOf(t, s.d, s.network)
			for site := range now {
				now[site].since(lost[site])
			}
			t.Logf("%s: lost, as counted: %v", w.name, now)
		}
	}
}

// faults says what differs from what came over the bridge by more than the limit.
func (got tally) faults(want tally, exception []string) (faults []string) {
	total := 0
	for _, n := range want {
		total += n
	}
	spare := int(math.Ceil(lossLimit * float64(total)))
	if total < 1/lossLimit {
		spare = 0
	}
	for _, text := range slices.Sorted(maps.Keys(want)) {
		if slices.Contains(exception, text) {
			if got[text] != 0 {
				faults = append(faults, fmt.Sprintf("%d of %s came, which evio refuses", got[text], text))
			}
			continue
		}
		if got[text] < want[text]-spare {
			faults = append(faults, fmt.Sprintf("%d of %s came, %d over the bridge", got[text], text, want[text]))
		}
	}
	for _, text := range slices.Sorted(maps.Keys(got)) {
		if want[text] == 0 {
			faults = append(faults, fmt.Sprintf("%d of %s came, none over the bridge", got[text], text))
		}
	}
	return faults
}
