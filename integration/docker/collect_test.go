//go:build e2e

package docker

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"evio/driver/status"
	"evio/integration/scenario"
)

// collectLimit is how long after its start the plugin may leave what was removed while it was
// away.
const collectLimit = 45 * time.Second

// testCollect: what is removed while the plugin is disabled is gone soon after it is
// enabled again, and the rest runs on. While the engine's API cannot be reached,
// nothing is removed.
func testCollect(t *testing.T, d *scenario.Deployment) {
	kept := scenario.Network{Name: "kept", Overlay: "kept", Net: 33}
	goes := scenario.Network{Name: "goes", Overlay: "goes", Net: 34}
	scenario.StartOverlay(t, d, kept)
	a, b := d.Sites[0], d.Sites[1]
	stored := files(t, a)
	scenario.CreateNetwork(t, d, goes)
	if err := d.WaitSessions(scenario.Within(t, 20*time.Second), goes.Name); err != nil {
		t.Fatal(err)
	}
	if err := a.RunContainer(scenario.Within(t, 30*time.Second), "goes", kept.Name); err != nil {
		t.Fatal(err)
	}
	before := files(t, a)
	if len(before) != len(stored)+2 {
		t.Fatalf("stored: %q", before)
	}
	st, err := a.NetworkStatus(scenario.Within(t, 10*time.Second), goes.Name)
	if err != nil {
		t.Fatal(err)
	}
	devices := append([]string{st.Bridge}, st.Ports...)
	if len(present(t, a, devices)) < 4 { // bridge, fabric port, links to two peers
		t.Fatalf("of %q there are only %q", devices, present(t, a, devices))
	}

	v4, v6 := scenario.Addresses(t, a, scenario.ContainerName(a, kept), kept.Name)
	away := moveSocket(t, a)
	began := time.Now()
	away(t, "plugin", "disable", "-f", scenario.PluginName)
	t.Run("removal", func(t *testing.T) { // Docker takes 15 s for each
		for _, args := range [][]string{{"rm", "-f", "goes"}, {"network", "rm", goes.Name}} {
			t.Run(args[0], func(t *testing.T) {
				t.Parallel()
				away(t, args...)
			})
		}
	})
	t.Logf("removal without the plugin took %v", time.Since(began))
	away(t, "plugin", "enable", scenario.PluginName)
	t.Run("engine out of reach", func(t *testing.T) {
		scenario.UntilContext(t, 20*time.Second, func(ctx context.Context) error {
			_, err := b.Exec(ctx, scenario.ContainerName(b, kept), "ping", "-c", "1", "-W", "1", v4)
			return err
		})
		scenario.Exec(t, b, scenario.ContainerName(b, kept), "ping", "-c", "23", "-W", "3", v4) // one a second
		if now := files(t, a); !slices.Equal(now, before) {
			t.Errorf("stored: %q, before: %q", now, before)
		}
		if got := collected(t, a); got != (status.Collected{}) {
			t.Errorf("collected %+v", got)
		}
	})
	away(t, "plugin", "disable", "-f", scenario.PluginName)
	returnSocket(t, a)
	scenario.Docker(t, a, "plugin", "enable", scenario.PluginName)
	began = time.Now()
	scenario.UntilContext(t, collectLimit, func(context.Context) error {
		if now := files(t, a); !slices.Equal(now, stored) {
			return fmt.Errorf("stored: %q, want %q", now, stored)
		}
		if left := present(t, a, devices); len(left) > 0 {
			return fmt.Errorf("interfaces are left: %q", left)
		}
		return nil
	})
	t.Logf("removed %v after the start of the plugin", time.Since(began))
	if got := collected(t, a); got != (status.Collected{Networks: 1, Endpoints: 1}) {
		t.Errorf("collected %+v", got)
	}
	scenario.Exec(t, b, scenario.ContainerName(b, kept), "ping", "-c", "3", "-W", "3", v4)
	scenario.Exec(t, b, scenario.ContainerName(b, kept), "ping", "-6", "-c", "1", "-W", "3", v6)
	if err := a.Create(scenario.Within(t, 30*time.Second), goes); err != nil { // its overlay is free
		t.Error(err)
	}
}
