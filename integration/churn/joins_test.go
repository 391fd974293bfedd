//go:build e2e

package churn

import (
	"context"
	"slices"
	"testing"
	"time"

	"evio/integration/scenario"
	"evio/integration/testbed"
)

// TestJoins: what Docker asks of the plugin for a container, without Docker and its
// containers: how long a Join takes, and what it starts.
func TestJoins(t *testing.T) {
	d := scenario.StartStandalone(t, nil, testbed.SiteConfig{Name: "a"}, testbed.SiteConfig{Name: "b"})
	o := scenario.Overlay{Name: "joins", Net: 40}
	for _, s := range d.Sites {
		if err := s.Join(scenario.Within(t, 20*time.Second), o); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.WaitSessions(scenario.Within(t, 20*time.Second), o.Name); err != nil {
		t.Fatal(err)
	}
	a := d.Sites[0]
	t.Run("one after another", func(t *testing.T) { joinsAlone(t, a, o.Name) })
	t.Run("twenty at a time", func(t *testing.T) { joinsTogether(t, a, o.Name) })
}

// joinsAlone: a Join by itself starts two programs at most, and so does a Leave.
func joinsAlone(t *testing.T, s *scenario.Site, name string) {
	const most = 2
	ctx := scenario.Within(t, time.Minute)
	started := programs(t, s)
	var took []time.Duration
	for _, a := range attachments(s, name, 20) {
		started()
		d, err := a.join(ctx)
		if err != nil {
			t.Fatal(err)
		}
		took = append(took, d)
		if n := started(); n > most {
			t.Errorf("%s: Join started %d programs, want %d at most", a.number, n, most)
		}
		if err := a.leave(ctx); err != nil {
			t.Fatal(err)
		}
		if n := started(); n > most {
			t.Errorf("%s: Leave started %d programs, want %d at most", a.number, n, most)
		}
	}
	t.Logf("Join, one after another: %s", scenario.Spread(took))
}

// programs returns what tells how many programs a site's evio has started since it was last
// asked, except for those that a status document starts itself.
func programs(t *testing.T, s *scenario.Site) func() int {
	t.Helper()
	count := func() uint64 { return scenario.Document(t, s).Switch.Programs }
	last := count()
	first := count()
	own := first - last
	last = first
	return func() int {
		t.Helper()
		now := count()
		defer func() { last = now }()
		return int(now - last - own)
	}
}

// joinsTogether: of 240 Joins, twenty at a time, 99 in 100 take 300 ms at most, and those
// that are under way at once share their programs. A host that stands still for a moment
// slows twenty Joins down, where three are too many: the best of three series counts, and
// the worst may take three times as long.
func joinsTogether(t *testing.T, s *scenario.Site, name string) {
	const series, limit = 3, 300 * time.Millisecond
	var p99 []time.Duration
	for range series {
		p99 = append(p99, scenario.Percentile(joinSeries(t, s, name), 99))
	}
	if best, worst := slices.Min(p99), slices.Max(p99); best > limit || worst > 3*limit {
		t.Errorf("99 of 100 Joins took up to %v, want %v at most in the best series and %v in the worst", p99, limit, 3*limit)
	}
	for _, method := range []string{"CreateEndpoint", "Join", "Leave", "DeleteEndpoint"} {
		t.Log(described(call(t, s, method)))
	}
}

// joinSeries returns how long 240 Joins took, twenty at a time.
func joinSeries(t *testing.T, s *scenario.Site, name string) []time.Duration {
	t.Helper()
	const rounds, atOnce = 12, 20
	const most = 0.5 // programs for a Join; one by itself takes two
	var took, worst []time.Duration
	started, sum := programs(t, s), 0
	for range rounds {
		all := attachments(s, name, atOnce)
		times := make([]time.Duration, len(all))
		started()
		each(t, all, func(ctx context.Context, i int, a attachment) (err error) {
			times[i], err = a.join(ctx)
			return err
		})
		sum += started()
		took, worst = append(took, times...), append(worst, slices.Max(times).Round(time.Millisecond))
		each(t, all, func(ctx context.Context, _ int, a attachment) error { return a.leave(ctx) })
	}
	share := float64(sum) / float64(len(took))
	t.Logf("%d Joins, %d at a time: %s, %.2f programs each; the longest of each %d: %v", len(took), atOnce, scenario.Spread(took), share, atOnce, worst)
	if share > most {
		t.Errorf("%.2f programs were started for a Join, want %v at most: changes at once are not made together", share, most)
	}
	return took
}
