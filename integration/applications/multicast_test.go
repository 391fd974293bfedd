//go:build e2e

package applications

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"evio/integration/scenario"
)

// multicastStream is one that is sent for five seconds.
type multicastStream struct {
	name       string
	size, rate int     // of a UDP datagram's payload, in bytes; datagrams a second
	least      float64 // of them arrive
	most       int     // leave the site in five seconds
}

var multicastStreams = []multicastStream{
	{"20 Mb/s of full packets", 1372, 20_000_000 / 8 / 1372, 0.99, math.MaxInt},
	{"2,000 small packets a second", 100, 2000, 0.99, math.MaxInt},
	{"more than an engine may send", 100, 4000, 0.5, 6 * 2500},
}

// testMulticast: streams of multicast reach every other container, at other sites and at
// the same one, as far as an engine may send; what is missing is counted to the frame.
func testMulticast(t *testing.T, d *scenario.Deployment, streams []multicastStream) {
	n := scenario.Network{Name: "streams", Overlay: "streams", Net: 13}
	scenario.StartOverlay(t, d, n)
	a := d.Sites[0]
	scenario.StartContainer(t, a, "second", n.Name)
	from := streamEnd(t, a, scenario.ContainerName(a, n), n)
	ears := []scenario.Spot{streamEnd(t, a, "second", n)}
	for _, s := range d.Sites[1:] {
		ears = append(ears, streamEnd(t, s, scenario.ContainerName(s, n), n))
	}
	for _, c := range streams {
		t.Run(c.name, func(t *testing.T) { testStream(t, d, n, from, ears, c.size, c.rate, c.least, c.most) })
	}
}

func streamEnd(t *testing.T, s *scenario.Site, container string, n scenario.Network) scenario.Spot {
	t.Helper()
	spot, err := s.Spot(scenario.Within(t, 10*time.Second), container, n.Name)
	if err != nil {
		t.Fatal(err)
	}
	return spot
}

// testStream sends for five seconds, and compares what came with what is counted.
func testStream(t *testing.T, d *scenario.Deployment, n scenario.Network, from scenario.Spot, ears []scenario.Spot, size, rate int, least float64, most int) {
	const group, port = "239.1.2.4", ":9001"
	before := lossesOf(t, d, n)
	var jobs []scenario.Job
	for _, e := range ears {
		jobs = append(jobs, counting(t, e, "count-recv", "-group", group, "-dev", "eth0", "-listen", port, "-idle", "2s"))
	}
	var sent struct{ Sent, Refused int }
	sending := counting(t, from, "count-send", "-dev", "eth0", "-to", group+port, "-for", "5s", "-size", strconv.Itoa(size), "-rate", strconv.Itoa(rate))
	if sending.Wait(t, &sent); sent.Sent != 5*rate {
		t.Fatalf("%d were sent, %d refused by the kernel, want %d", sent.Sent, sent.Refused, 5*rate)
	}
	missing := map[string]int{}
	for i, j := range jobs {
		var came struct{ Received, Duplicates, Overflow int }
		j.Wait(t, &came)
		site := ears[i].Site.Name()
		missing[site] = sent.Sent - came.Received - came.Overflow
		t.Logf("site %s: %+v of %d", site, came, sent.Sent)
		if float64(came.Received) < least*float64(sent.Sent) {
			t.Errorf("%d of %d came to site %s", came.Received, sent.Sent, site)
		}
		if site != from.Site.Name() && came.Received > most {
			t.Errorf("%d came to site %s, an engine may send %d", came.Received, site, most)
		}
		if came.Duplicates > 0 {
			t.Errorf("%d came twice to site %s", came.Duplicates, site)
		}
	}
	lost := lossesOf(t, d, n)
	for site := range lost {
		lost[site].since(before[site])
	}
	t.Logf("missing: %v, counted: %v", missing, lost)
	at, everywhere, absent := lost[from.Site.Name()], 0, 0
	for site, count := range missing {
		counted := at.sum()
		if site != from.Site.Name() {
			counted += lost[site].sum()
		}
		if absent += count; count > counted {
			t.Errorf("%d are missing at site %s, and %d are counted on the way", count, site, counted)
		}
	}
	for site := range lost {
		everywhere += lost[site].frames()
	}
	if everywhere > absent {
		t.Errorf("%d are counted, and %d are missing", everywhere, absent)
	}
	own := int(at["flood-own-limit"] + at["flood-container-limit"])
	if doc := scenario.Document(t, d.Sites[0]); own > 0 && (doc.Health.Healthy || !strings.Contains(strings.Join(doc.Faults, "\n"), "(flood-")) {
		t.Errorf("healthy %v though frames were lost to the own limit, faults %q", doc.Health.Healthy, doc.Faults)
	}
	if everywhere == own {
		for _, s := range d.Sites[1:] {
			if missing[s.Name()] != own {
				t.Errorf("%d are missing at site %s, and %d were not flooded", missing[s.Name()], s.Name(), own)
			}
		}
	}
}

// counting starts a probe in a container's network namespace, and waits until it listens if
// it is to.
func counting(t *testing.T, s scenario.Spot, args ...string) scenario.Job {
	t.Helper()
	p, err := s.Site.Start(scenario.Within(t, 10*time.Second), fmt.Sprintf("%s-%s-%d", s.Container, args[0], time.Now().UnixNano()),
		s.Inside(append([]string{"probe"}, args...)...)...)
	if err != nil {
		t.Fatal(err)
	}
	j := scenario.Job{Process: p, Name: args[0]}
	if args[0] == "count-recv" {
		scenario.Until(t, 10*time.Second, func() error { return j.Last(&struct{ Listening string }{}) })
	}
	return j
}
