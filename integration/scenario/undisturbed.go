package scenario

import (
	"context"
	"testing"
	"time"
)

// quiet is the longest silence of a ping every 0.1 s that is accepted while something breaks at
// other sites: only the pauses of a busy machine.
const quiet = time.Second

// Watched is a ping between the first containers of two sites that a round leaves alone.
type Watched struct {
	Ends string
	Ping Job
}

// Undisturbed ends the pings, and demands that each was answered all the time.
func Undisturbed(t *testing.T, all []Watched, from time.Time) {
	t.Helper()
	for _, pair := range all {
		silence, err := LongestSilence(pair.Ping, from)
		if stopped := pair.Ping.Stop(context.WithoutCancel(t.Context()), "TERM"); err == nil {
			err = stopped
		}
		if err != nil {
			t.Errorf("ping %s: %v", pair.Ends, err)
		}
		if took := time.Duration(silence) * time.Millisecond; took > quiet {
			t.Errorf("the ping %s, where nothing was broken, was silent for %v, want at most %v", pair.Ends, took, quiet)
		} else {
			t.Logf("ping %s: silent for at most %v", pair.Ends, took)
		}
	}
}
