//go:build e2e

package faults

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"evio/driver/status"
	"evio/integration/scenario"
	"evio/integration/testbed"
)

// TestSessions: many sessions of the same engines at once, over one port each. Between a and b they
// are direct, those with s are relayed.
func TestSessions(t *testing.T) {
	d := scenario.StartStandalone(t, scenario.TURN("udp"),
		testbed.SiteConfig{Name: "a"}, testbed.SiteConfig{Name: "b"}, testbed.SiteConfig{Name: "s", NAT: testbed.Symmetric})
	for _, s := range d.Sites {
		scenario.Until(t, 20*time.Second, func() error {
			if d := scenario.Document(t, s); d.Switch.Version == "" || !d.Signalling[0].Connected {
				return fmt.Errorf("%s is not ready: %v", s.Name(), d.Faults)
			}
			return nil
		})
	}
	t.Run("three overlays", func(t *testing.T) { threeOverlays(t, d.Sites[0], d.Sites[1]) })
	t.Run("set up and torn down", func(t *testing.T) { setUpAndTornDown(t, d.Sites[0], d.Sites[1], d.Sites[2]) })
}

// threeOverlays sets up three sessions between two engines at once and has all of them busy.
func threeOverlays(t *testing.T, a, b *scenario.Site) {
	overlays := []scenario.Overlay{{Name: "red", Net: 51}, {Name: "green", Net: 52}, {Name: "blue", Net: 53}}
	sites := []*scenario.Site{a, b}
	each := func(f func(ctx context.Context, s *scenario.Site, o scenario.Overlay) error) {
		t.Helper()
		group, ctx := errgroup.WithContext(scenario.Within(t, time.Minute))
		for _, o := range overlays {
			for _, s := range sites {
				group.Go(func() error { return f(ctx, s, o) })
			}
		}
		if err := group.Wait(); err != nil {
			t.Fatal(err)
		}
	}
	each(func(ctx context.Context, s *scenario.Site, o scenario.Overlay) error { return s.Join(ctx, o) })
	ears := map[*scenario.Site]map[string]*scenario.Ear{a: {}, b: {}}
	ways := map[[2]string]bool{} // by the addresses, whatever kind of candidate ICE took them for
	for _, o := range overlays {
		way := scenario.AwaitSession(t, 20*time.Second, a, o.Name, b.Account.JID).Path
		ways[[2]string{way.Local, way.Remote}] = true
		for _, s := range sites {
			ears[s][o.Name] = scenario.Listen(t, s, o.Name)
		}
	}
	if len(ways) != 1 {
		t.Errorf("the sessions use %d ways, want one port each: %v", len(ways), ways)
	}
	const count = 50
	token := func(from *scenario.Site, o scenario.Overlay) string {
		return "from-" + from.Name() + "-over-" + o.Name + "."
	}
	each(func(ctx context.Context, s *scenario.Site, o scenario.Overlay) error {
		to := a
		if s == a {
			to = b
		}
		for _, target := range []string{o.Addresses(to)[0].String(), fmt.Sprintf("10.%d.255.255", o.Net)} {
			if _, err := s.InNamespace(ctx, o.Name, "probe", "udp-send", "-to", target+":9", "-token", token(s, o), "-count", fmt.Sprint(count), "-every", "10ms"); err != nil {
				return err
			}
		}
		return nil
	})
	for _, s := range sites {
		from := a
		if s == a {
			from = b
		}
		for _, o := range overlays {
			e := ears[s][o.Name]
			scenario.Until(t, 5*time.Second, func() error {
				if came := e.Heard(t, token(from, o)); came != 2*count {
					return fmt.Errorf("%s heard %d of %d frames of %s", s.Name(), came, 2*count, o.Name)
				}
				return nil
			})
			for _, other := range overlays {
				if came := e.Heard(t, token(from, other)); other != o && came > 0 {
					t.Errorf("%s heard %d frames of %s in %s", s.Name(), came, other.Name, o.Name)
				}
			}
		}
		// What reaches another session does not open there.
		d := scenario.Document(t, s)
		for _, o := range overlays {
			for _, cause := range []string{"record_forged", "record_slot", "record_plain", "handshake_tag"} {
				if n := scenario.OfSessions(o.Name, cause).Read(d); n > 0 {
					t.Errorf("%s: %s of %s: %d", s.Name(), cause, o.Name, n)
				}
			}
		}
		if n := d.Transport.Drops["record_index"]; n > 0 {
			t.Errorf("%s: record_index: %d", s.Name(), n)
		}
	}
	each(func(ctx context.Context, s *scenario.Site, o scenario.Overlay) error { return s.Quit(ctx, o) })
}

// setUpAndTornDown makes 20 sessions at once and removes them, five times.
func setUpAndTornDown(t *testing.T, a, b, s *scenario.Site) {
	const rounds, direct, relayed = 5, 16, 4
	sites := []*scenario.Site{a, b, s}
	start := map[*scenario.Site]scenario.Usage{}
	for _, site := range sites {
		start[site] = scenario.UsageOf(t, site)
		t.Logf("%s at the start: %+v", site.Name(), start[site])
	}
	type pair struct {
		network testbed.EvioNetwork
		ends    [2]*scenario.Site
		way     string
	}
	var pairs []pair
	for i := range direct + relayed {
		p := pair{testbed.EvioNetwork{Name: fmt.Sprintf("many-%d", i), Subnets: []netip.Prefix{netip.MustParsePrefix(fmt.Sprintf("10.%d.0.0/16", 60+i))}}, [2]*scenario.Site{a, b}, "direct"}
		if i >= direct {
			p.ends[1], p.way = s, "relay"
		}
		pairs = append(pairs, p)
	}
	each := func(f func(context.Context, *scenario.Site, testbed.EvioNetwork) error) {
		t.Helper()
		group, ctx := errgroup.WithContext(scenario.Within(t, time.Minute))
		for _, p := range pairs {
			for _, end := range p.ends {
				group.Go(func() error { return f(ctx, end, p.network) })
			}
		}
		if err := group.Wait(); err != nil {
			t.Fatal(err)
		}
	}
	for round := range rounds {
		began := time.Now()
		each(func(ctx context.Context, s *scenario.Site, n testbed.EvioNetwork) error {
			return s.CreateEvioNetwork(ctx, n)
		})
		made := time.Now()
		scenario.Until(t, 40*time.Second, func() error {
			documents := map[*scenario.Site]status.Document{}
			for _, site := range sites {
				documents[site] = scenario.Document(t, site)
			}
			for _, p := range pairs {
				for i, end := range p.ends {
					n := scenario.OverlayIn(documents[end], p.network.Name)
					at := slices.IndexFunc(n.Sessions, func(s status.Session) bool { return s.JID == p.ends[1-i].Account.JID && s.State == "established" })
					if at < 0 {
						return fmt.Errorf("%s has no session in %s", end.Name(), p.network.Name)
					}
					if n.Sessions[at].Path.Kind != p.way {
						return fmt.Errorf("%s: the session in %s is %s, want %s", end.Name(), p.network.Name, n.Sessions[at].Path.Kind, p.way)
					}
				}
			}
			return nil
		})
		up := time.Now()
		// Each bridge has its own port, the fabric port, and a link.
		if at, far := scenario.UsageOf(t, a), scenario.UsageOf(t, s); at.Sessions < direct+relayed || far.Allocations+at.Allocations == 0 || at.Ports < 3*(direct+relayed) || at.TAPs == 0 {
			t.Errorf("the figures say nothing: %+v, %+v", at, far)
		}
		each(func(ctx context.Context, s *scenario.Site, n testbed.EvioNetwork) error {
			return s.RemoveEvioNetwork(ctx, n.Name)
		})
		gone := time.Now()
		scenario.Until(t, 30*time.Second, func() error {
			var errs []error
			for _, site := range sites {
				if now := scenario.UsageOf(t, site); !now.Near(start[site]) {
					errs = append(errs, fmt.Errorf("%s: %+v, at the start %+v", site.Name(), now, start[site]))
				}
			}
			return errors.Join(errs...)
		})
		short := func(d time.Duration) time.Duration { return d.Round(time.Millisecond) }
		t.Logf("round %d: %d networks at two sites each in %v, sessions after %v, removed in %v, all given back after %v", round+1,
			len(pairs), short(made.Sub(began)), short(up.Sub(made)), short(gone.Sub(up)), short(time.Since(gone)))
	}
	for _, site := range sites {
		t.Logf("%s at the end: %+v", site.Name(), scenario.UsageOf(t, site))
	}
}
