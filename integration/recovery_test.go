//go:build e2e

package integration

import (
	"context"
	"slices"
	"testing"
	"time"

	"evio/integration/scenario"
)

// healing is the time within which containers talk again after a part was killed, or
// after the engine's API answers again.
const healing = 5 * time.Second

// TestRecovery kills or restarts parts of site a, one after another, under containers
// that talk. Each time they talk again, and nothing is left behind.
func TestRecovery(t *testing.T) {
	d := deploy(t)
	w := populate(t, d, scenario.Network{Name: "recovery", Overlay: "recovery", Net: 50})
	t.Run("what is left over is seen", func(t *testing.T) { testLeftovers(t, w.a()) })
	t.Run("goodbye", func(t *testing.T) { testGoodbye(t, w) })
	var table mendings
	for _, f := range faults() {
		t.Run(f.name, func(t *testing.T) {
			if f.liveRestore != w.liveRestore {
				if err := w.a().SetLiveRestore(within(t, 20*time.Second), f.liveRestore); err != nil {
					t.Fatal(err)
				}
				w.liveRestore = f.liveRestore
			}
			table = append(table, w.recover(t, f))
		})
	}
	table.write(t)
}

// fault is one thing that breaks at a site.
type fault struct {
	name        string
	liveRestore bool // containers outlive the engine
	restarts    bool // the engine starts the containers anew
	// do breaks it and returns from when on the time counts.
	do func(context.Context, *scenario.Site) (time.Time, error)
}

func faults() []fault {
	kill := func(programs ...string) func(context.Context, *scenario.Site) (time.Time, error) {
		return func(ctx context.Context, s *scenario.Site) (time.Time, error) {
			began := time.Now()
			return began, s.KillPrograms(ctx, programs...)
		}
	}
	return []fault{
		{name: "plugin killed", do: func(ctx context.Context, s *scenario.Site) (time.Time, error) {
			began := time.Now()
			return began, s.KillPlugin(ctx, scenario.PluginName)
		}},
		{name: "plugin disabled by force and enabled", do: reenable},
		{name: "ovs-vswitchd killed", do: kill("ovs-vswitchd")},
		{name: "ovsdb-server killed", do: kill("ovsdb-server")},
		{name: "ovs-vswitchd and ovsdb-server killed", do: kill("ovs-vswitchd", "ovsdb-server")},
		{name: "ovs-vswitchd ovsdb-server and plugin killed", do: kill("ovs-vswitchd", "ovsdb-server", "evio")},
		{name: "engine restarted", restarts: true, do: restartEngine},
		{name: "engine killed", restarts: true, do: killEngine},
		{name: "plugin and engine killed", restarts: true, do: killBoth},
		{name: "engine restarted with live-restore", liveRestore: true, do: restartEngine},
		{name: "engine killed with live-restore", liveRestore: true, do: killEngine},
		{name: "plugin and engine killed with live-restore", liveRestore: true, do: killBoth},
	}
}

func reenable(ctx context.Context, s *scenario.Site) (time.Time, error) {
	if _, err := s.Docker(ctx, "plugin", "disable", "-f", scenario.PluginName); err != nil {
		return time.Time{}, err
	}
	began := time.Now()
	_, err := s.Docker(ctx, "plugin", "enable", scenario.PluginName)
	return began, err
}

func restartEngine(ctx context.Context, s *scenario.Site) (time.Time, error) {
	err := s.RestartEngine(ctx)
	return s.EngineAnswered(), err
}

func killEngine(ctx context.Context, s *scenario.Site) (time.Time, error) {
	err := s.KillEngine(ctx)
	if err == nil {
		err = s.ResumeEngine(ctx)
	}
	return s.EngineAnswered(), err
}

func killBoth(ctx context.Context, s *scenario.Site) (time.Time, error) {
	pid, err := s.PluginPID(ctx, scenario.PluginName)
	if err == nil {
		err = s.KillEngine(ctx, pid)
	}
	if err == nil {
		err = s.ResumeEngine(ctx)
	}
	return s.EngineAnswered(), err
}

// recover has the fault happen and measures how long it takes until all is well.
func (w *world) recover(t *testing.T, f fault) mending {
	before := w.spots(t)
	if w.dialogues == nil {
		w.converse(t, before)
	}
	broken := time.Now()
	began, err := f.do(within(t, 90*time.Second), w.a())
	if err != nil {
		t.Fatal(err)
	}
	after := w.spots(t)
	last, err := scenario.Matrix(within(t, healing+20*time.Second), after)
	if err != nil {
		t.Fatalf("%v", err)
	}
	r := mending{Fault: f.name, Restarts: f.restarts}
	for _, at := range last {
		r.Recovery = max(r.Recovery, at.Sub(began).Milliseconds())
	}
	if took := time.Duration(r.Recovery) * time.Millisecond; took > healing {
		t.Errorf("all containers talk again after %v, want at most %v", took, healing)
	}
	for i, spot := range after {
		kept := i != 1 || !f.restarts // the engine may give another address to one that has no fixed one
		if kept && !slices.Equal(spot.Addresses, before[i].Addresses) {
			t.Errorf("%s had addresses %v, has %v", spot.Container, before[i].Addresses, spot.Addresses)
		}
		if same := spot.PID == before[i].PID; same == (f.restarts && i < 2) {
			t.Errorf("%s was started anew: %t", spot.Container, !same)
		}
	}
	for _, talk := range w.dialogues {
		if !f.restarts && !talk.runs() {
			t.Errorf("a TCP connection broke: %v", talk.Err())
		}
		if f.restarts { // one end has died: others take their place
			_ = talk.Stop(within(t, 10*time.Second), "TERM") // it may have ended
		}
	}
	w.converse(t, after)
	if err := scenario.Steady(within(t, 20*time.Second), after); err != nil {
		t.Error(err)
	}
	if r.Outage, err = longestSilence(w.ping, broken); err != nil {
		t.Error(err)
	}
	if took := time.Duration(r.Outage) * time.Millisecond; !f.restarts && took > healing {
		t.Errorf("the ping from b was silent for %v, want at most %v", took, healing)
	}
	if !w.ping.runs() {
		t.Errorf("the ping from b ended: %v", w.ping.Err())
	}
	r.Clean = clean(t, w.d, began)
	t.Logf("%s: all talk after %d ms, the ping from b was silent for %d ms, nothing left after %d ms", r.Fault, r.Recovery, r.Outage, r.Clean)
	return r
}
