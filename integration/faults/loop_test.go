//go:build e2e

package faults

import (
	"context"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"evio/integration/scenario"
)

// TestFaultLoop breaks something at random, mends it, and sees that all containers talk
// again in time and that nothing is left over; and again, for EVIO_DURATION. The same
// EVIO_SEED breaks the same things in the same order.
func TestFaultLoop(t *testing.T) {
	seed := scenario.Setting(t, "EVIO_SEED", uint64(time.Now().UnixNano()), func(s string) (uint64, error) { return strconv.ParseUint(s, 10, 64) })
	duration := scenario.Setting(t, "EVIO_DURATION", 3*time.Minute, time.ParseDuration)
	t.Logf("EVIO_SEED=%d EVIO_DURATION=%v", seed, duration)
	random := rand.New(rand.NewPCG(seed, 0))

	d := scenario.StartFederation(t)
	w := &troubledWorld{scenario.Populate(t, d, scenario.Network{Name: "loop", Overlay: "loop", Net: 55})}
	for round, end := uint64(1), time.Now().Add(duration); time.Now().Before(end); round++ {
		first := w.pick(random)
		broken := []trouble{first}
		// Where the same part is not broken twice, two things may break at once.
		if second := w.pick(random); random.IntN(3) == 0 && (second.site != first.site || second.part != first.part) {
			broken = append(broken, second)
		}
		hold := time.Duration(random.IntN(5000)) * time.Millisecond
		w.round(t, round, broken, hold)
		if t.Failed() {
			t.Fatalf("round %d of EVIO_SEED=%d failed", round, seed)
		}
	}
}

// round breaks things, mends them after a while, and checks.
func (w *troubledWorld) round(t *testing.T, number uint64, broken []trouble, hold time.Duration) {
	var (
		names string
		mends []func(context.Context) error
		limit time.Duration
	)
	for i, b := range broken {
		names += []string{"", " + "}[i] + b.name
		// What was broken together may need each other to be mended.
		limit += b.limit
	}
	t.Logf("round %d: %s, for %v", number, names, hold.Round(time.Millisecond))
	pings := w.watch(t, broken)
	from := time.Now()
	for _, b := range broken {
		mend, err := b.do(scenario.Within(t, 90*time.Second))
		if err != nil {
			t.Errorf("%s: %v", b.name, err)
			return
		}
		if mend != nil {
			mends = append(mends, mend)
		}
	}
	if len(mends) > 0 {
		scenario.Pause(t, hold)
	}
	for _, mend := range mends {
		if err := mend(scenario.Within(t, 90*time.Second)); err != nil {
			t.Errorf("round %d: mend: %v", number, err)
			return
		}
	}
	began := time.Now()
	spots := w.Spots(t)
	last, err := scenario.Matrix(scenario.Within(t, limit+30*time.Second), spots)
	if err != nil {
		t.Errorf("round %d: %v", number, err)
		return
	}
	var took time.Duration
	for _, at := range last {
		took = max(took, at.Sub(began))
	}
	if took > limit {
		t.Errorf("round %d: all talk again after %v, want at most %v", number, took, limit)
	}
	// A path that carries an answer carries the next ones.
	if err := scenario.Steady(scenario.Within(t, 20*time.Second), spots); err != nil {
		w.logDrops(t)
		t.Errorf("round %d: after all talked again: %v", number, err)
	}
	scenario.Undisturbed(t, pings, from)
	scenario.Clean(t, w.Deployment, began)
	w.signalled(t)
	t.Logf("round %d: all talk again after %v", number, took.Round(time.Millisecond))
}
