//go:build e2e

package docker

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"evio/integration/scenario"
)

// testStart: from the start of the plugins all three sites are connected within
// ten seconds.
func testStart(t *testing.T, d *scenario.Deployment) {
	n := scenario.Network{Name: "start", Overlay: "start", Net: 29}
	scenario.CreateNetwork(t, d, n)
	for _, s := range d.Sites {
		scenario.Docker(t, s, "plugin", "disable", "-f", scenario.PluginName)
	}
	began := time.Now()
	var group errgroup.Group
	for _, s := range d.Sites {
		group.Go(func() error {
			_, err := s.Docker(scenario.Within(t, 20*time.Second), "plugin", "enable", scenario.PluginName)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	if err := d.WaitSessions(scenario.Within(t, 20*time.Second), n.Name); err != nil {
		t.Fatal(err)
	}
	took := time.Since(began)
	t.Logf("from plugin start to three connected sites: %v", took)
	if took > 10*time.Second {
		t.Errorf("it took %v, want at most 10s", took)
	}
}

// testOutage: a minute without XMPP costs established sessions nothing, and new
// contacts are made when it is back.
func testOutage(t *testing.T, d *scenario.Deployment) {
	n := scenario.Network{Name: "outage", Overlay: "outage", Net: 30}
	scenario.StartOverlay(t, d, n)
	before := establishedAt(t, d, n)
	xmpp := d.Lab.Internet().XMPP
	if err := xmpp.Stop(scenario.Within(t, 10*time.Second)); err != nil {
		t.Fatal(err)
	}
	var group errgroup.Group
	scenario.Pairs(d, func(from, to *scenario.Site) {
		v4, _ := scenario.Addresses(t, to, scenario.ContainerName(to, n), n.Name)
		group.Go(func() error {
			out, err := from.Exec(scenario.Within(t, 80*time.Second), scenario.ContainerName(from, n), "ping", "-i", "0.1", "-c", "600", "-W", "2", v4)
			if err == nil && !strings.Contains(out, "600 received") {
				err = fmt.Errorf("%s → %s: %s", from.Name(), to.Name(), out[strings.LastIndex(out, "---"):])
			}
			return err
		})
	})
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
	if after := establishedAt(t, d, n); after != before {
		t.Errorf("sessions were replaced: %s, before: %s", after, before)
	}
	if err := xmpp.Start(scenario.Within(t, 20*time.Second)); err != nil {
		t.Fatal(err)
	}
	later := scenario.Network{Name: "later", Overlay: "later", Net: 31}
	scenario.CreateNetwork(t, d, later)
	if err := d.WaitSessions(scenario.Within(t, 90*time.Second), later.Name); err != nil {
		t.Fatal(err)
	}
}

// establishedAt returns since when each session serves.
func establishedAt(t *testing.T, d *scenario.Deployment, n scenario.Network) string {
	t.Helper()
	var b strings.Builder
	for _, s := range d.Sites {
		st, err := s.NetworkStatus(scenario.Within(t, 10*time.Second), n.Name)
		if err != nil {
			t.Fatal(err)
		}
		for _, session := range st.Sessions {
			fmt.Fprintln(&b, s.Name(), session.JID, session.Established)
		}
	}
	return b.String()
}

// testRestarts: networks are there after the plugin was killed and after the engine
// was restarted, and new containers join them.
func testRestarts(t *testing.T, d *scenario.Deployment) {
	n := scenario.Network{Name: "lasting", Overlay: "lasting", Net: 32}
	scenario.StartOverlay(t, d, n)
	a, b := d.Sites[0], d.Sites[1]
	far, _ := scenario.Addresses(t, b, scenario.ContainerName(b, n), n.Name)
	for _, c := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"plugin killed", func(ctx context.Context) error { return a.KillPlugin(ctx, scenario.PluginName) }},
		{"engine restarted", a.RestartEngine},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := c.do(scenario.Within(t, 60*time.Second)); err != nil {
				t.Fatal(err)
			}
			scenario.UntilContext(t, 20*time.Second, func(ctx context.Context) error {
				st, err := a.NetworkStatus(ctx, n.Name)
				if err == nil && scenario.Established(st) < len(d.Sites)-1 {
					err = fmt.Errorf("%d sessions are established", scenario.Established(st))
				}
				return err
			})
			container := "after-" + strings.ReplaceAll(c.name, " ", "-")
			scenario.StartContainer(t, a, container, n.Name)
			scenario.UntilContext(t, 10*time.Second, func(ctx context.Context) error {
				_, err := a.Exec(ctx, container, "ping", "-c", "1", "-W", "1", far)
				return err
			})
			v4, _ := scenario.Addresses(t, a, container, n.Name)
			scenario.Exec(t, b, scenario.ContainerName(b, n), "ping", "-c", "1", "-W", "3", v4)
		})
	}
}
