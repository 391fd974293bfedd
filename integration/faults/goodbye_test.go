//go:build e2e

package faults

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"evio/integration/scenario"
)

// goodbyeWithin is how soon after docker plugin disable the peers know: far less than the
// 3 s of silence after which a session ends by itself.
const goodbyeWithin = 2 * time.Second

var errHasSession = errors.New("site b has a session")

// testGoodbye stops the plugin of a site as Docker does, with SIGTERM: it takes leave of
// its peers. Then it is started again.
func testGoodbye(t *testing.T, w *scenario.World) {
	a, b := w.Deployment.Sites[0], w.Deployment.Sites[1]
	gone := func(ctx context.Context) error {
		n, err := b.NetworkStatus(ctx, w.Network.Name)
		if err != nil {
			return err
		}
		for _, s := range n.Sessions {
			if s.JID == a.Account.JID && s.State == "established" {
				return fmt.Errorf("%w with %s", errHasSession, s.JID)
			}
		}
		return nil
	}
	if err := gone(scenario.Within(t, 5*time.Second)); !errors.Is(err, errHasSession) {
		t.Fatalf("before: %v", err)
	}
	began := time.Now()
	disabled := make(chan error, 1)
	go func() {
		_, err := a.Docker(scenario.Within(t, 30*time.Second), "plugin", "disable", "-f", scenario.PluginName)
		disabled <- err
	}()
	scenario.UntilContext(t, 10*time.Second, gone)
	if took := time.Since(began); took > goodbyeWithin {
		t.Errorf("site b's session ended %v after the plugin of site a was disabled, want at most %v", took, goodbyeWithin)
	}
	t.Logf("site b's session ended after %v", time.Since(began).Round(time.Millisecond))
	if err := <-disabled; err != nil {
		t.Fatal(err)
	}
	if _, err := a.Docker(scenario.Within(t, 30*time.Second), "plugin", "enable", scenario.PluginName); err != nil {
		t.Fatal(err)
	}
	if _, err := scenario.Matrix(scenario.Within(t, scenario.Healing+20*time.Second), w.Spots(t)); err != nil {
		t.Fatal(err)
	}
}
