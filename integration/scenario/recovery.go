package scenario

import (
	"context"
	"slices"
	"testing"
	"time"
)

// Healing is the time within which containers talk again after a part was killed, or
// after the engine's API answers again.
const Healing = 5 * time.Second

// Fault is one thing that breaks at a site.
type Fault struct {
	Name        string
	LiveRestore bool // containers outlive the engine
	Restarts    bool // the engine starts the containers anew
	// Do breaks it and returns when the time to measure begins.
	Do func(context.Context, *Site) (time.Time, error)
}

// Mending is how long it took until all was well after a fault, in milliseconds.
type Mending struct {
	Fault    string `json:"fault"`
	Restarts bool   `json:"restarts"`    // the engine started the containers anew
	Recovery int64  `json:"recovery_ms"` // from the kill, or from the engine's first answer, to the last first answer of a ping
	Outage   int64  `json:"outage_ms"`   // longest silence of a ping from another site, from before the fault on
	Clean    int64  `json:"clean_ms"`    // until nothing was left over, at the latest
}

// Recover causes the fault and measures how long it takes until all is well.
func (w *World) Recover(t *testing.T, f Fault) Mending {
	before := w.Spots(t)
	if w.dialogues == nil {
		w.converse(t, before)
	}
	broken := time.Now()
	began, err := f.Do(Within(t, 90*time.Second), w.A())
	if err != nil {
		t.Fatal(err)
	}
	after := w.Spots(t)
	last, err := Matrix(Within(t, Healing+20*time.Second), after)
	if err != nil {
		t.Fatalf("%v", err)
	}
	r := Mending{Fault: f.Name, Restarts: f.Restarts}
	for _, at := range last {
		r.Recovery = max(r.Recovery, at.Sub(began).Milliseconds())
	}
	if took := time.Duration(r.Recovery) * time.Millisecond; took > Healing {
		t.Errorf("all containers talk again after %v, want at most %v", took, Healing)
	}
	for i, spot := range after {
		kept := i != 1 || !f.Restarts // the engine may give another address to one that has no fixed one
		if kept && !slices.Equal(spot.Addresses, before[i].Addresses) {
			t.Errorf("%s had addresses %v, has %v", spot.Container, before[i].Addresses, spot.Addresses)
		}
		if same := spot.PID == before[i].PID; same == (f.Restarts && i < 2) {
			t.Errorf("%s was started anew: %t", spot.Container, !same)
		}
	}
	for _, talk := range w.dialogues {
		if !f.Restarts && !talk.runs() {
			t.Errorf("a TCP connection broke: %v", talk.Err())
		}
		if f.Restarts { // one end has died: others take their place
			_ = talk.Stop(Within(t, 10*time.Second), "TERM") // it may have ended
		}
	}
	w.converse(t, after)
	if err := Steady(Within(t, 20*time.Second), after); err != nil {
		t.Error(err)
	}
	if r.Outage, err = LongestSilence(w.ping, broken); err != nil {
		t.Error(err)
	}
	if took := time.Duration(r.Outage) * time.Millisecond; !f.Restarts && took > Healing {
		t.Errorf("the ping from b was silent for %v, want at most %v", took, Healing)
	}
	if !w.ping.runs() {
		t.Errorf("the ping from b ended: %v", w.ping.Err())
	}
	r.Clean = Clean(t, w.Deployment, began)
	t.Logf("%s: all talk after %d ms, the ping from b was silent for %d ms, nothing left after %d ms", r.Fault, r.Recovery, r.Outage, r.Clean)
	return r
}
