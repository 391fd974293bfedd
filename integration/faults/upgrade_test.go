//go:build e2e

package faults

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"evio/integration/scenario"
)

// TestUpgrade: the plugin of a site is removed and another version is made under its
// name, under containers that talk. They go on, and nothing of what the site knew is
// lost.
func TestUpgrade(t *testing.T) {
	newer := scenario.NewerBundle(t)
	d := scenario.StartFederation(t)
	w := scenario.Populate(t, d, scenario.Network{Name: "upgrade", Overlay: "upgrade", Net: 53})
	local := scenario.Network{Name: "default-named", Net: 54}
	scenario.CreateNetwork(t, d, local)
	if err := d.WaitSessions(scenario.Within(t, 20*time.Second), local.Name); err != nil {
		t.Fatal(err)
	}
	a := w.A()
	before, version := scenario.KnowledgeOf(t, d)
	w.Recover(t, scenario.Fault{Name: "plugin upgraded", Do: func(ctx context.Context, s *scenario.Site) (time.Time, error) {
		for _, args := range [][]string{{"disable", "-f"}, {"rm", "-f"}} {
			if _, err := s.Docker(ctx, append(append([]string{"plugin"}, args...), scenario.PluginName)...); err != nil {
				return time.Time{}, err
			}
		}
		if err := s.CreatePlugin(ctx, scenario.PluginName, newer, map[string]string{"EVIO_LOG_LEVEL": "debug"}); err != nil {
			return time.Time{}, err
		}
		began := time.Now()
		_, err := s.Docker(ctx, "plugin", "enable", scenario.PluginName)
		return began, err
	}})
	if err := d.WaitSessions(scenario.Within(t, 20*time.Second), local.Name); err != nil {
		t.Error(err)
	}
	after, upgraded := scenario.KnowledgeOf(t, d)
	if upgraded == version {
		t.Errorf("the plugin is of version %s as before: it was not upgraded", version)
	}
	t.Logf("version %s became %s", version, upgraded)
	if lost := cmp.Diff(before, after); lost != "" {
		t.Errorf("the upgrade changed (- before, + after):\n%s", lost)
	}
	scenario.StartContainer(t, a, "after-upgrade", w.Network.Name)
	far, _ := scenario.Addresses(t, d.Sites[1], w.Containers[1][0], w.Network.Name)
	scenario.Exec(t, a, "after-upgrade", "ping", "-c", "1", "-W", "3", far)
}
