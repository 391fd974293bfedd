//go:build e2e

package churn

import (
	"fmt"
	"regexp"
	"strconv"
	"testing"
	"time"

	"evio/integration/scenario"
	"evio/integration/testbed"
)

// TestSpeed: how long a user waits, beside Docker's own bridge network.
func TestSpeed(t *testing.T) {
	lab := testbed.Start(t, testbed.SiteConfig{Name: "a"})
	d, err := scenario.Deploy(scenario.Within(t, time.Minute), lab, scenario.Bundle)
	if err != nil {
		t.Fatal(err)
	}
	a := d.Sites[0]
	t.Run("network create", func(t *testing.T) { createSpeed(t, a) })
	t.Run("first answer", func(t *testing.T) { answerSpeed(t, a) })
}

// createSpeed: docker network create takes a second at most, and three when the host
// stands still for a moment.
func createSpeed(t *testing.T, s *scenario.Site) {
	const times, limit = 11, time.Second
	took := map[string][]time.Duration{}
	for range times {
		for _, driver := range []string{"bridge", "evio"} {
			began := time.Now()
			scenario.Docker(t, s, "network", "create", "-d", driver, "--subnet", "10.43.0.0/24", "made")
			took[driver] = append(took[driver], time.Since(began))
			scenario.Docker(t, s, "network", "rm", "made")
		}
	}
	for driver, list := range took {
		t.Logf("docker network create -d %s: %s", driver, scenario.Spread(list))
	}
	if half, most := scenario.Percentile(took["evio"], 50), scenario.Percentile(took["evio"], 100); half > limit || most > 3*limit {
		t.Errorf("docker network create took %v, and up to %v; want %v at most, and up to %v", half, most, limit, 3*limit)
	}
}

// answerSpeed: from docker run to the first answer that the container has of another one on the
// same engine takes at most half as long again as in a bridge network of Docker's.
func answerSpeed(t *testing.T, s *scenario.Site) {
	const times, limit = 11, 1.5
	peers := map[string]string{"bridge": "10.44.0.250", "evio": "10.45.0.250"}
	for driver, peer := range peers {
		scenario.Docker(t, s, "network", "create", "-d", driver, "--subnet", peer[:5]+".0.0/24", "of-"+driver)
		scenario.Docker(t, s, "run", "-d", "--init", "--name", "peer-"+driver, "--network", "of-"+driver, "--ip", peer, testbed.Image)
	}
	took := map[string][]time.Duration{}
	for i := range times {
		for _, driver := range []string{"bridge", "evio"} {
			took[driver] = append(took[driver], firstAnswer(t, s, fmt.Sprintf("%s-%d", driver, i), "of-"+driver, peers[driver]))
		}
	}
	for driver := range peers {
		scenario.Docker(t, s, "rm", "-f", "peer-"+driver)
		scenario.Docker(t, s, "network", "rm", "of-"+driver)
		t.Logf("docker run to the first answer, %s: %s", driver, scenario.Spread(took[driver]))
	}
	t.Log(described(call(t, s, "Join")))
	bridge, evio := scenario.Percentile(took["bridge"], 50), scenario.Percentile(took["evio"], 50)
	ratio := float64(evio) / float64(bridge)
	t.Logf("medians of %d: bridge %v, evio %v, ratio %.2f", times, bridge.Round(time.Millisecond), evio.Round(time.Millisecond), ratio)
	if ratio > limit {
		t.Errorf("evio takes %.2f times as long as Docker's bridge, want %v at most", ratio, limit)
	}
}

var answeredAt = regexp.MustCompile(`\[(\d+)\.(\d{6})\] \d+ bytes from`)

// firstAnswer runs a container that pings a peer and returns when it was answered.
func firstAnswer(t *testing.T, s *scenario.Site, container, network, peer string) time.Duration {
	t.Helper()
	began := time.Now()
	out := scenario.Docker(t, s, "run", "--init", "--name", container, "--network", network, testbed.Image, "ping", "-D", "-c", "1", "-w", "10", peer)
	scenario.Docker(t, s, "rm", "-f", container)
	match := answeredAt.FindStringSubmatch(out)
	if match == nil {
		t.Fatalf("no answer: %s", out)
	}
	seconds, err := strconv.ParseInt(match[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	micros, err := strconv.ParseInt(match[2], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return time.Unix(seconds, micros*1000).Sub(began.Round(0))
}
