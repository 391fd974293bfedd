//go:build e2e

package docker

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"evio/driver/status"
	"evio/integration/scenario"
	"evio/integration/testbed"
)

// testStatus: evio status, run on a site's host beside the managed plugin, says how that is
// and ends with the code for it.
func testStatus(t *testing.T, d *scenario.Deployment) {
	n := scenario.Network{Name: "status", Overlay: "status", Net: 33}
	scenario.StartOverlay(t, d, n)
	a := d.Sites[0]
	program, err := os.ReadFile(filepath.Join(scenario.Bundle, "rootfs/bin/evio"))
	if err == nil {
		err = os.WriteFile(filepath.Join(a.Shared(), "evio"), program, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	ask := func(args ...string) (string, int) {
		return scenario.AskStatus(t, a, append([]string{filepath.Join(testbed.SharedDir, "evio"), "status"}, args...)...)
	}
	awaitCode := func(want int) (said string) {
		t.Helper()
		scenario.Until(t, 60*time.Second, func() error {
			var code int
			if said, code = ask(); code != want {
				return errors.New(said)
			}
			return nil
		})
		return said
	}

	said := awaitCode(0)
	t.Logf("healthy:\n%s", said)
	v4, v6 := scenario.Addresses(t, a, scenario.ContainerName(a, n), n.Name)
	for _, want := range []string{"\nhealthy\n", "\nNetwork status\n", a.Account.JID, d.Sites[1].Account.JID, d.Sites[2].Account.JID, "established", v4, v6, "attached", "password_file"} {
		if !strings.Contains(said, want) {
			t.Errorf("there is no %q", want)
		}
	}
	text, code := ask("--json")
	doc, err := status.Decode([]byte(text))
	if err != nil || code != 0 || !doc.Health.Healthy || len(doc.Networks) == 0 || len(doc.Settings.Values) == 0 {
		t.Errorf("--json: exit code %d, %v, health %+v", code, err, doc.Health)
	}

	xmpp := d.Lab.Internet().XMPP
	if err := xmpp.Stop(scenario.Within(t, 10*time.Second)); err != nil {
		t.Fatal(err)
	}
	degraded := awaitCode(3)
	t.Logf("XMPP stopped:\n%s", degraded)
	if !strings.Contains(degraded, "\ndegraded: signalling\n") || !strings.Contains(degraded, "account "+a.Account.JID+" is not connected") {
		t.Error("it does not name signalling alone")
	}
	if _, code := ask("--json"); code != 3 {
		t.Errorf("--json: exit code %d", code)
	}
	if err := xmpp.Start(scenario.Within(t, 20*time.Second)); err != nil {
		t.Fatal(err)
	}
	awaitCode(0)

	for _, s := range []string{said, text, degraded} {
		if strings.Contains(s, a.Account.Password) {
			t.Error("the password of the account is told")
		}
	}
	scenario.Docker(t, a, "plugin", "disable", "-f", scenario.PluginName)
	away, code := ask()
	t.Logf("plugin disabled: %s", away)
	if code != 1 || !strings.Contains(away, "run this as root, and check that the plugin is enabled") {
		t.Errorf("exit code %d", code)
	}
	scenario.Docker(t, a, "plugin", "enable", scenario.PluginName)
	awaitCode(0)
}
