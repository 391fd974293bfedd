//go:build e2e

package churn

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/docker/go-plugins-helpers/network"
	"golang.org/x/sync/errgroup"

	"evio/driver/status"
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

// attachment is a container as far as the plugin hears of it.
type attachment struct {
	site            *scenario.Site
	network, number string
	addr            netip.Prefix
}

func attachments(s *scenario.Site, name string, count int) []attachment {
	var all []attachment
	for i := range count {
		all = append(all, attachment{s, s.NetworkID(name), fmt.Sprintf("%s-%d", name, i),
			netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 40, 200, byte(i + 1)}), 16)})
	}
	return all
}

// join is CreateEndpoint and Join; the time is that of Join.
func (a attachment) join(ctx context.Context) (time.Duration, error) {
	err := a.site.CallEvio(ctx, "CreateEndpoint", network.CreateEndpointRequest{
		NetworkID: a.network, EndpointID: a.number, Interface: &network.EndpointInterface{Address: a.addr.String()},
	}, nil)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	err = a.site.CallEvio(ctx, "Join", network.JoinRequest{NetworkID: a.network, EndpointID: a.number, SandboxKey: "/run/netns/" + a.number}, nil)
	return time.Since(began), err
}

// leave is Leave and DeleteEndpoint.
func (a attachment) leave(ctx context.Context) error {
	err := a.site.CallEvio(ctx, "Leave", network.LeaveRequest{NetworkID: a.network, EndpointID: a.number}, nil)
	if err != nil {
		return err
	}
	return a.site.CallEvio(ctx, "DeleteEndpoint", network.DeleteEndpointRequest{NetworkID: a.network, EndpointID: a.number}, nil)
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
// asked, but for those that a status document starts itself.
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

// each does f for all at once and waits.
func each[T any](t *testing.T, all []T, f func(ctx context.Context, i int, one T) error) {
	t.Helper()
	group, ctx := errgroup.WithContext(scenario.Within(t, 2*time.Minute))
	for i, one := range all {
		group.Go(func() error { return f(ctx, i, one) })
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
}

// call is what the plugin tells of a method.
func call(t *testing.T, s *scenario.Site, method string) status.Call {
	t.Helper()
	calls := scenario.Document(t, s).Calls
	at := slices.IndexFunc(calls, func(c status.Call) bool { return c.Method == method })
	if at < 0 {
		t.Fatalf("%s was never called", method)
	}
	return calls[at]
}

func described(c status.Call) string {
	return fmt.Sprintf("%s by the plugin's own count: %d calls, half within %.1f ms, 99%% %.1f ms, all %.1f ms",
		c.Method, c.Total, c.P50Millis, c.P99Millis, c.LongestMillis)
}
