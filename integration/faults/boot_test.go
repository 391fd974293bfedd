//go:build e2e

package faults

import (
	"context"
	"errors"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"evio/integration/scenario"
	"evio/integration/testbed"
)

// TestBoot: a host boots, with the XMPP server down and nobody in reach. The engine
// answers nobody until its containers run; the plugin answers it all the same, and the
// containers come back on their networks.
func TestBoot(t *testing.T) {
	lab := testbed.Start(t, testbed.SiteConfig{Name: "a"}, testbed.SiteConfig{Name: "b"})
	d, err := scenario.Deploy(scenario.Within(t, time.Minute), lab, scenario.Bundle)
	if err != nil {
		t.Fatal(err)
	}
	worlds := []*scenario.World{
		scenario.Populate(t, d, scenario.Network{Name: "boot", Overlay: "boot", Net: 51}),
		scenario.Populate(t, d, scenario.Network{Name: "booted", Net: 52}), // the overlay has the network's name
	}
	a := d.Sites[0]
	t.Run("engine stopped", func(t *testing.T) { boot(t, d, worlds, a.StopEngine) })
	t.Run("power lost", func(t *testing.T) { boot(t, d, worlds, a.LosePower) })
}

// answering is the time within which the plugin's sockets answer after its start.
const answering = time.Second

func boot(t *testing.T, d *scenario.Deployment, worlds []*scenario.World, end func(context.Context) error) {
	a, xmpp := d.Sites[0], d.Lab.Internet().XMPP
	managed, err := a.PluginSocket(scenario.Within(t, 10*time.Second), scenario.PluginName)
	if err != nil {
		t.Fatal(err)
	}
	if err := end(scenario.Within(t, 40*time.Second)); err != nil {
		t.Fatal(err)
	}
	if err := xmpp.Stop(scenario.Within(t, 10*time.Second)); err != nil {
		t.Fatal(err)
	}
	drop, err := a.Router.DropAll(scenario.Within(t, 10*time.Second))
	if err != nil {
		t.Fatal(err)
	}

	var answered [2]time.Time
	var group errgroup.Group
	for i, socket := range []string{managed, a.V1Socket("evio")} {
		group.Go(func() (err error) {
			answered[i], err = testbed.AwaitCapabilities(scenario.Within(t, time.Minute), socket)
			return err
		})
	}
	group.Go(func() error { return a.ResumeEngine(scenario.Within(t, time.Minute)) })
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	checkAnswers(t, a, answered)

	for _, w := range worlds {
		spots := w.SpotsAt(t, 0)
		last, err := scenario.Matrix(scenario.Within(t, scenario.Healing+10*time.Second), spots)
		if err != nil {
			t.Fatalf("network %s: the containers of the site do not talk: %v", w.Network.Name, err)
		}
		for container, at := range last {
			took := at.Sub(a.EngineAnswered())
			t.Logf("%s talks %v after the engine's first answer", container, took.Round(time.Millisecond))
			if took > scenario.Healing {
				t.Errorf("%s talks %v after the engine's first answer, want at most %v", container, took, scenario.Healing)
			}
		}
		n, err := a.NetworkStatus(scenario.Within(t, 10*time.Second), w.Network.Name)
		if err != nil {
			t.Fatal(err)
		}
		if n.Local || scenario.Established(n) > 0 {
			t.Errorf("network %s: local %t, %d sessions: it should be in its overlay, and alone", n.Name, n.Local, scenario.Established(n))
		}
	}

	if err := errors.Join(drop.Undo(scenario.Within(t, 10*time.Second)), xmpp.Start(scenario.Within(t, 20*time.Second))); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	for _, w := range worlds {
		if err := d.WaitSessions(scenario.Within(t, 70*time.Second), w.Network.Name); err != nil {
			t.Fatal(err)
		}
		if _, err := scenario.Matrix(scenario.Within(t, 10*time.Second), w.Spots(t)); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("from the XMPP server's start to all sessions: %v", time.Since(began).Round(time.Millisecond))
	scenario.Clean(t, d, began)
}

// checkAnswers compares when the plugin's sockets answered with its start, and with the
// engine's first answer.
func checkAnswers(t *testing.T, a *scenario.Site, answered [2]time.Time) {
	t.Helper()
	pid, err := a.PluginPID(scenario.Within(t, 10*time.Second), scenario.PluginName)
	if err != nil {
		t.Fatal(err)
	}
	started, err := a.ProcessStarted(pid)
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range []string{"managed", "v1"} {
		took := answered[i].Sub(started)
		t.Logf("the %s socket answered %v after the plugin's start, %v before the engine did",
			name, took.Round(time.Millisecond), a.EngineAnswered().Sub(answered[i]).Round(time.Millisecond))
		if took > answering {
			t.Errorf("the %s socket answered %v after the plugin's start, want at most %v", name, took, answering)
		}
		if !answered[i].Before(a.EngineAnswered()) {
			t.Errorf("the %s socket answered after the engine: nothing was seen of the boot", name)
		}
	}
}
