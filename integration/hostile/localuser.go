//go:build e2e

package hostile

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"evio/driver/status"
	"evio/integration/scenario"
)

// returning is the time within which sites talk after what a local user did is over.
const returning = 5 * time.Second

// patient is how much longer a busy machine may take.
const patient = 3

// localUser is about site a of a world.
type localUser struct{ *scenario.World }

func (l *localUser) script(t *testing.T, script string) string {
	t.Helper()
	out, err := l.A().Script(scenario.Within(t, 20*time.Second), script)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// restart disables the plugin, does something, and enables it. It returns its process.
func (l *localUser) restart(t *testing.T, between func()) (pid int) {
	t.Helper()
	ctx := scenario.Within(t, 40*time.Second)
	_, err := l.A().Docker(ctx, "plugin", "disable", "-f", scenario.PluginName)
	if err == nil {
		between()
		_, err = l.A().Docker(ctx, "plugin", "enable", scenario.PluginName)
	}
	if err != nil {
		t.Fatal(err)
	}
	return l.pid(t)
}

func (l *localUser) pid(t *testing.T) int {
	t.Helper()
	pid, err := l.A().PluginPID(scenario.Within(t, 10*time.Second), scenario.PluginName)
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// local checks that the containers of the site talk as soon as after any start, and that
// another one can join them.
func (l *localUser) local(t *testing.T) {
	t.Helper()
	began := time.Now()
	if _, err := scenario.Matrix(scenario.Within(t, patient*scenario.Healing), l.SpotsAt(t, 0)); err != nil {
		t.Fatalf("the containers of the site do not talk: %v", err)
	}
	t.Logf("the containers of the site talk after %v", time.Since(began).Round(time.Millisecond))
}

// remote checks that the sites talk within a time.
func (l *localUser) remote(t *testing.T, limit time.Duration) {
	t.Helper()
	began := time.Now()
	if err := l.Deployment.WaitSessions(scenario.Within(t, patient*limit), l.Network.Name); err != nil {
		t.Fatal(err)
	}
	if _, err := scenario.Matrix(scenario.Within(t, patient*limit), l.Spots(t)); err != nil {
		t.Fatal(err)
	}
	t.Logf("the sites talk after %v, at most %v where nothing else runs", time.Since(began).Round(time.Millisecond), limit)
}

// told waits until a fault of the site has all parts.
func (l *localUser) told(t *testing.T, parts ...string) status.Document {
	t.Helper()
	var d status.Document
	scenario.Until(t, 10*time.Second, func() (err error) {
		if d, err = l.A().Status(scenario.Within(t, 5*time.Second)); err != nil {
			return err
		}
		for _, f := range d.Faults {
			if !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(f, part) }) && !d.Health.Healthy {
				return nil
			}
		}
		return fmt.Errorf("healthy %t, no fault of %q has %q", d.Health.Healthy, d.Faults, parts)
	})
	return d
}
