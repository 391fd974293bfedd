//go:build e2e

package integration

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"evio/integration/scenario"
)

// TestFaultLoop breaks something at random, mends it, and sees that all containers talk
// again in time and that nothing is left over; and again, for EVIO_DURATION. The same
// EVIO_SEED breaks the same things in the same order.
func TestFaultLoop(t *testing.T) {
	seed := setting(t, "EVIO_SEED", uint64(time.Now().UnixNano()), func(s string) (uint64, error) { return strconv.ParseUint(s, 10, 64) })
	duration := setting(t, "EVIO_DURATION", 3*time.Minute, time.ParseDuration)
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

// setting reads a variable of the environment.
func setting[T any](t *testing.T, name string, otherwise T, parse func(string) (T, error)) T {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	v, err := parse(text)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return v
}

// trouble is one thing that breaks.
type trouble struct {
	name  string
	site  string // "" where it is about none
	part  string // what of it
	limit time.Duration
	// do breaks it and returns what mends it, nil if it mends itself.
	do func(context.Context) (mend func(context.Context) error, err error)
}

// troubledWorld is a world in which things break.
type troubledWorld struct{ *scenario.World }

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
	// A way that carries an answer carries the next ones.
	if err := scenario.Steady(scenario.Within(t, 20*time.Second), spots); err != nil {
		w.tell(t)
		t.Errorf("round %d: after all talked again: %v", number, err)
	}
	undisturbed(t, pings, from)
	scenario.Clean(t, w.Deployment, began)
	w.signalled(t)
	t.Logf("round %d: all talk again after %v", number, took.Round(time.Millisecond))
}

// signalled waits until every site is connected to the XMPP server, so that the next
// round does not find it without.
func (w *troubledWorld) signalled(t *testing.T) {
	t.Helper()
	for _, s := range w.Deployment.Sites {
		scenario.UntilContext(t, xmppBack, func(ctx context.Context) error {
			doc, err := s.Status(ctx)
			if err == nil && !doc.Signalling[0].Connected {
				err = fmt.Errorf("site %s has no XMPP session: %s", s.Name(), doc.Signalling[0].LastError)
			}
			return err
		})
	}
}

// tell logs what was dropped, by cause, at each site.
func (w *troubledWorld) tell(t *testing.T) {
	t.Helper()
	for _, s := range w.Deployment.Sites {
		n, err := s.NetworkStatus(scenario.Within(t, 10*time.Second), w.Network.Name)
		if err != nil {
			t.Log(err)
			continue
		}
		t.Logf("%s drops %v", s.Name(), n.Drops)
		for _, session := range n.Sessions {
			t.Logf("%s to %s: %s since %s, %d moves, path %s to %s, drops %v", s.Name(), session.JID, session.State,
				session.Established.Format(time.StampMilli), session.Moves, session.Path.Local, session.Path.Remote, session.Drops)
		}
	}
}

// pick chooses a trouble.
func (w *troubledWorld) pick(random *rand.Rand) trouble {
	all := w.troubles(random.IntN(len(w.Deployment.Sites)))
	return all[random.IntN(len(all))]
}

// troubles is what can break at a site, and the XMPP server.
func (w *troubledWorld) troubles(site int) []trouble {
	s := w.Deployment.Sites[site]
	once := func(f func(context.Context) error) func(context.Context) (func(context.Context) error, error) {
		return func(ctx context.Context) (func(context.Context) error, error) {
			return nil, f(ctx)
		}
	}
	var all []trouble
	add := func(part, name string, limit time.Duration, do func(context.Context) (func(context.Context) error, error)) {
		all = append(all, trouble{fmt.Sprintf("%s at %s", name, s.Name()), s.Name(), part, limit, do})
	}
	add("host", "plugin killed", scenario.Healing, once(func(ctx context.Context) error { return s.KillPlugin(ctx, scenario.PluginName) }))
	add("host", "ovs-vswitchd killed", scenario.Healing, once(func(ctx context.Context) error { return s.KillPrograms(ctx, "ovs-vswitchd") }))
	add("host", "ovsdb-server killed", scenario.Healing, once(func(ctx context.Context) error { return s.KillPrograms(ctx, "ovsdb-server") }))
	add("host", "engine restarted", scenario.Healing, once(s.RestartEngine))
	add("host", "engine killed", scenario.Healing, func(ctx context.Context) (func(context.Context) error, error) {
		return s.ResumeEngine, s.KillEngine(ctx)
	})
	add("way", "everything dropped", wayBack, func(ctx context.Context) (func(context.Context) error, error) {
		drop, err := s.Router.DropAll(ctx)
		if err != nil {
			return nil, err
		}
		return drop.Undo, nil
	})
	add("way", "router unplugged", wayBack, func(ctx context.Context) (func(context.Context) error, error) {
		return s.Router.Plug, s.Router.Unplug(ctx)
	})
	add("way", "other NAT mappings", wayBack, once(s.Router.FlushConntrack))
	container := w.Containers[site][0]
	add("host", "container restarted", scenario.Healing, once(func(ctx context.Context) error {
		_, err := s.Docker(ctx, "restart", "-t", "1", container)
		return err
	}))
	add("host", "container disconnected", scenario.Healing, func(ctx context.Context) (func(context.Context) error, error) {
		v4, v6 := w.Fixed(site)
		connect := func(ctx context.Context) error {
			_, err := s.Docker(ctx, "network", "connect", "--ip", v4, "--ip6", v6, w.Network.Name, container)
			return err
		}
		_, err := s.Docker(ctx, "network", "disconnect", w.Network.Name, container)
		return connect, err
	})
	xmpp := w.Deployment.Lab.Internet().XMPP
	all = append(all, trouble{"XMPP server killed", "", xmppPart, xmppBack, func(ctx context.Context) (func(context.Context) error, error) {
		if err := w.longSignalled(ctx); err != nil {
			return nil, err
		}
		return xmpp.Start, xmpp.Stop(ctx)
	}})
	return all
}

// longSignalled waits until every site's XMPP connection has stood for so long that the
// next one is tried without delay. Clients wait longer and longer for a server that is
// killed whenever they have come back to it.
func (w *troubledWorld) longSignalled(ctx context.Context) error {
	const long = 11 * time.Second
	for _, s := range w.Deployment.Sites {
		if err := scenario.Await(ctx, func() error {
			doc, err := s.Status(ctx)
			if err == nil && (!doc.Signalling[0].Connected || time.Since(doc.Signalling[0].Since) < long) {
				err = fmt.Errorf("site %s has no XMPP session of %v: %s", s.Name(), long, doc.Signalling[0].LastError)
			}
			return err
		}); err != nil {
			return err
		}
	}
	return nil
}

// The times within which all talk again once it is mended: a way between sites; the
// XMPP server, if sessions died meanwhile: clients wait about as long as it was away
// before they connect again.
const (
	wayBack  = 10 * time.Second
	xmppBack = 30 * time.Second
)

const xmppPart = "XMPP"
