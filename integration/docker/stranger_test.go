//go:build e2e

package docker

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"evio/integration/scenario"
)

// testStranger: an account of the same XMPP server that is in nobody's roster, and
// knows the overlay's name, an engine's full JID and its node ID, gets no answer and
// no session.
func testStranger(t *testing.T, d *scenario.Deployment) {
	n := scenario.Network{Name: "private", Overlay: "private", Net: 26}
	scenario.StartOverlay(t, d, n)
	a := d.Sites[0]
	xmpp := d.Lab.Internet().XMPP
	mallory, err := xmpp.AddAccount(scenario.Within(t, 20*time.Second), "mallory", "known to mallory")
	if err != nil {
		t.Fatal(err)
	}
	before, err := a.NetworkStatus(scenario.Within(t, 10*time.Second), n.Name)
	if err != nil {
		t.Fatal(err)
	}
	log, err := os.ReadFile(filepath.Join(d.Lab.LogDir(), "a-dockerd.log"))
	if err != nil {
		t.Fatal(err)
	}
	full := regexp.MustCompile(regexp.QuoteMeta(a.Account.JID)+`/[A-Za-z0-9-]+`).FindAllString(string(log), -1)
	if len(full) == 0 {
		t.Fatal("the log does not tell the engine's full JID")
	}
	internet := d.Lab.Internet()
	if err := internet.WriteFile(scenario.Within(t, 10*time.Second), "/root/ca.pem", xmpp.CA(), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := internet.Run(scenario.Within(t, 30*time.Second), "probe", "stranger", "-server", xmpp.StartTLSAddress(),
		"-jid", mallory.JID, "-password", mallory.Password, "-ca", "/root/ca.pem",
		"-to", full[len(full)-1], "-node", before.Node, "-overlay", n.Overlay)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out, `"from"`) {
		t.Errorf("the stranger was answered: %s", out)
	}
	if !strings.Contains(out, `"sent"`) {
		t.Errorf("the stranger sent nothing: %s", out)
	}
	after, err := a.NetworkStatus(scenario.Within(t, 10*time.Second), n.Name)
	if err != nil {
		t.Fatal(err)
	}
	if len(after.Sessions) != len(before.Sessions) || strings.Contains(fmt.Sprint(after.Members, after.Sessions), "mallory") {
		t.Errorf("the stranger shows in the status: %+v %+v", after.Members, after.Sessions)
	}
	log, err = os.ReadFile(filepath.Join(d.Lab.LogDir(), "a-dockerd.log"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(log), "message of a stranger dropped") {
		t.Error("the stranger's message did not even reach the engine, so nothing was refused")
	}
}
