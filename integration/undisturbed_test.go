//go:build e2e

package integration

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"evio/integration/scenario"
)

// quiet is the longest silence of a ping each 0.1 s that a trouble at other sites explains:
// none, but for the pauses of a busy machine.
const quiet = time.Second

// watched is a ping between the first containers of two sites that a round leaves alone.
type watched struct {
	ends string
	ping scenario.Job
}

// watch starts a ping between any two sites at which nothing is about to break.
func (w *troubledWorld) watch(t *testing.T, broken []trouble) []watched {
	t.Helper()
	var all []watched
	var whole []scenario.Spot
	for i, s := range w.Deployment.Sites {
		if !slices.ContainsFunc(broken, func(b trouble) bool { return b.site == s.Name() }) {
			whole = append(whole, w.SpotsAt(t, i)[0])
		}
	}
	for i, from := range whole {
		for _, to := range whole[i+1:] {
			// Not in the container's process namespace, where a signal would reach nsenter alone.
			p, err := from.Site.Start(scenario.Within(t, 10*time.Second), "watch-"+to.Site.Name(),
				"nsenter", "--target", strconv.Itoa(from.PID), "--net", "ping", "-n", "-D", "-i", "0.1", to.Addresses[0])
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, watched{fmt.Sprintf("from %s to %s", from.Site.Name(), to.Site.Name()), scenario.Job{Process: p, Name: "ping"}})
		}
	}
	return all
}

// undisturbed ends the pings, and demands that each was answered all the time.
func undisturbed(t *testing.T, all []watched, from time.Time) {
	t.Helper()
	for _, pair := range all {
		silence, err := scenario.LongestSilence(pair.ping, from)
		if stopped := pair.ping.Stop(context.WithoutCancel(t.Context()), "TERM"); err == nil {
			err = stopped
		}
		if err != nil {
			t.Errorf("ping %s: %v", pair.ends, err)
		}
		if took := time.Duration(silence) * time.Millisecond; took > quiet {
			t.Errorf("the ping %s, where nothing was broken, was silent for %v, want at most %v", pair.ends, took, quiet)
		} else {
			t.Logf("ping %s: silent for at most %v", pair.ends, took)
		}
	}
}
