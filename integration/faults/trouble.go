//go:build e2e

package faults

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"evio/integration/scenario"
)

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

// logDrops logs what was dropped, by cause, at each site.
func (w *troubledWorld) logDrops(t *testing.T) {
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

// The times within which all talk again once a path between sites, or the XMPP server, is mended.
// If sessions died while the server was away, clients wait about as long as it was away before
// they connect again.
const (
	wayBack  = 10 * time.Second
	xmppBack = 30 * time.Second
)

const xmppPart = "XMPP"

// watch starts a ping between any two sites at which nothing is about to break.
func (w *troubledWorld) watch(t *testing.T, broken []trouble) []scenario.Watched {
	t.Helper()
	var all []scenario.Watched
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
			all = append(all, scenario.Watched{Ends: fmt.Sprintf("from %s to %s", from.Site.Name(), to.Site.Name()), Ping: scenario.Job{Process: p, Name: "ping"}})
		}
	}
	return all
}
