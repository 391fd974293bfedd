//go:build e2e

package faults

import (
	"context"
	"testing"
	"time"

	"evio/integration/scenario"
)

// TestRecovery kills or restarts parts of site a, one after another, under containers
// that talk. Each time they talk again, and nothing is left behind.
func TestRecovery(t *testing.T) {
	d := scenario.StartFederation(t)
	w := scenario.Populate(t, d, scenario.Network{Name: "recovery", Overlay: "recovery", Net: 50})
	t.Run("what is left over is seen", func(t *testing.T) { testLeftovers(t, w.A()) })
	t.Run("goodbye", func(t *testing.T) { testGoodbye(t, w) })
	var table mendings
	for _, f := range faults() {
		t.Run(f.Name, func(t *testing.T) {
			if f.LiveRestore != w.LiveRestore {
				if err := w.A().SetLiveRestore(scenario.Within(t, 20*time.Second), f.LiveRestore); err != nil {
					t.Fatal(err)
				}
				w.LiveRestore = f.LiveRestore
			}
			table = append(table, w.Recover(t, f))
		})
	}
	table.write(t)
}

func faults() []scenario.Fault {
	kill := func(programs ...string) func(context.Context, *scenario.Site) (time.Time, error) {
		return func(ctx context.Context, s *scenario.Site) (time.Time, error) {
			began := time.Now()
			return began, s.KillPrograms(ctx, programs...)
		}
	}
	return []scenario.Fault{
		{Name: "plugin killed", Do: func(ctx context.Context, s *scenario.Site) (time.Time, error) {
			began := time.Now()
			return began, s.KillPlugin(ctx, scenario.PluginName)
		}},
		{Name: "plugin disabled by force and enabled", Do: reenable},
		{Name: "ovs-vswitchd killed", Do: kill("ovs-vswitchd")},
		{Name: "ovsdb-server killed", Do: kill("ovsdb-server")},
		{Name: "ovs-vswitchd and ovsdb-server killed", Do: kill("ovs-vswitchd", "ovsdb-server")},
		{Name: "ovs-vswitchd ovsdb-server and plugin killed", Do: kill("ovs-vswitchd", "ovsdb-server", "evio")},
		{Name: "engine restarted", Restarts: true, Do: restartEngine},
		{Name: "engine killed", Restarts: true, Do: killEngine},
		{Name: "plugin and engine killed", Restarts: true, Do: killBoth},
		{Name: "engine restarted with live-restore", LiveRestore: true, Do: restartEngine},
		{Name: "engine killed with live-restore", LiveRestore: true, Do: killEngine},
		{Name: "plugin and engine killed with live-restore", LiveRestore: true, Do: killBoth},
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
