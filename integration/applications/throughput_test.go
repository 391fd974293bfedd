//go:build e2e

package applications

import (
	"testing"
	"time"

	"evio/integration/scenario"
)

// testThroughput: what makes frames arrive does not make them slow. Each plugin runs at a site
// of its own; the two take turns, so whatever else the machine does hits both.
func testThroughput(t *testing.T, s *applications) {
	const rounds = 7
	former := s.former(t)
	present := way{"present", s.evio[0].from, s.evio[0].to}
	rates := map[string][]time.Duration{} // for a number of bytes, so that percentile serves
	for _, w := range []way{present, former} {
		w.to.serveThroughput(t)
	}
	for range rounds {
		for _, w := range []way{former, present} {
			rates[w.name] = append(rates[w.name], w.gigabit(t))
		}
	}
	rate := func(name string) float64 { return 1000 / float64(scenario.Percentile(rates[name], 50).Milliseconds()) }
	t.Logf("medians of %d: %.2f Gb/s, %.2f Gb/s at %s, ratio %.2f", rounds, rate(present.name), rate(former.name), formerCommit, rate(present.name)/rate(former.name))
	if rate(present.name) < leastSpeed*rate(former.name) {
		t.Errorf("%.2f Gb/s at one site, %.2f Gb/s at %s: want %v of that at least", rate(present.name), rate(former.name), formerCommit, leastSpeed)
	}
}
