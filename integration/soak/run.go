//go:build e2e

package soak

import (
	"context"
	"slices"
	"testing"
	"time"

	"evio/integration/scenario"
)

// talking is how long it may take until all containers talk again. All processors are busy.
const talking = 30 * time.Second

// run is what was read of all sites so far.
type run struct {
	world    *scenario.World
	lasting  time.Duration
	every    time.Duration // between two readings
	began    time.Time
	samples  map[string][]sample // by site
	sessions ledger
}

func newRun(w *scenario.World, lasting time.Duration) *run {
	return &run{
		world: w, lasting: lasting, every: min(10*time.Second, lasting/30),
		samples: map[string][]sample{}, sessions: ledger{},
	}
}

// until reads the status of all sites again and again until the time has passed since the traffic
// began.
func (r *run) until(t *testing.T, passed time.Duration) {
	t.Helper()
	end := r.began.Add(passed)
	for {
		r.read(t)
		now := time.Now()
		next := r.began.Add(now.Sub(r.began).Truncate(r.every) + r.every)
		if next.After(end) {
			scenario.Pause(t, max(0, end.Sub(now)))
			return
		}
		scenario.Pause(t, next.Sub(now))
	}
}

// read reads the status of all sites, after a garbage collection. It tells each minute what it saw.
func (r *run) read(t *testing.T) {
	t.Helper()
	for _, s := range r.world.Deployment.Sites {
		d, err := s.StatusAfterGC(scenario.Within(t, 20*time.Second))
		if err != nil {
			t.Fatalf("after %v: %v", r.passed(), err)
		}
		r.sessions.add(s.Name(), scenario.OverlayIn(d, r.world.Network.Overlay))
		now := sampleOf(d.Process)
		r.samples[s.Name()] = append(r.samples[s.Name()], now)
		if n := len(r.samples[s.Name()]); n%6 == 1 {
			t.Logf("after %v: %s has %.2f MB of heap in use, %.1f MB resident, %d goroutines, %d descriptors", r.passed(), s.Name(),
				float64(now.heap)/1e6, float64(d.Process.ResidentBytes)/1e6, now.goroutines, now.descriptors)
		}
	}
}

// restart forgets what was read, and reads what is there now. It returns the sessions until then.
func (r *run) restart(t *testing.T) ledger {
	t.Helper()
	before := r.sessions
	r.sessions = ledger{}
	clear(r.samples)
	r.read(t)
	return before
}

func (r *run) passed() time.Duration { return time.Since(r.began).Round(time.Second) }

// breaks does something that breaks a site, and waits until all containers talk again.
func (r *run) breaks(t *testing.T, what string, do func(context.Context) error) {
	t.Helper()
	if err := do(scenario.Within(t, talking)); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	began := time.Now()
	if _, err := scenario.Matrix(scenario.Within(t, talking), r.world.Spots(t)); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	t.Logf("after %v: %s, and all containers talk again %v later", r.passed(), what, time.Since(began).Round(time.Millisecond))
}

// renewed demands that each session has got other keys at least so often since an earlier moment.
func (r *run) renewed(t *testing.T, since ledger, least uint64) {
	t.Helper()
	if sites := len(r.world.Deployment.Sites); len(since) != sites*(sites-1) {
		t.Errorf("there were %d sessions, seen from both ends, want one between any two of %d sites: %v", len(since), sites, since)
	}
	for n, was := range since {
		if rekeys := r.sessions[n].rekeys - was.rekeys; rekeys < least {
			t.Errorf("%v got other keys %d times while nothing was broken, want %d at least", n, rekeys, least)
		}
	}
}

// describe tells what the samples of a site are.
func (r *run) describe(t *testing.T, site string) {
	t.Helper()
	middle, last, err := thirds(r.samples[site])
	if err != nil {
		return // the checks say so
	}
	for i, third := range [][]sample{middle, last} {
		usual := medianCounts(third)
		t.Logf("evio of %s, %s third of %d samples: %.2f MB of heap, %d goroutines, %d descriptors", site, []string{"middle", "last"}[i],
			len(third), float64(medianHeap(third))/1e6, usual.goroutines, usual.descriptors)
	}
	heaps := make([]int64, 0, len(middle)+len(last))
	for _, s := range slices.Concat(middle, last) {
		heaps = append(heaps, s.heap)
	}
	t.Logf("evio of %s: heap between %.2f and %.2f MB", site, float64(slices.Min(heaps))/1e6, float64(slices.Max(heaps))/1e6)
}
