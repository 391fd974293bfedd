//go:build e2e

package faults

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"evio/integration/scenario"
	"evio/integration/testbed"
	"evio/plugin/config"
)

// removal is the time within which a removed member loses its sessions.
const removal = 5 * time.Second

// team is the overlay of a group of the roster, salon the one of a room.
var (
	team  = scenario.Overlay{Name: "team", Net: 45}
	salon = scenario.Overlay{Name: "salon", Net: 46}
)

// TestMembers: a member that is removed loses its sessions at once, one that goes offline keeps them, and of two
// engines with one identity the later stops.
func TestMembers(t *testing.T) {
	const room = "salon"
	d := scenario.StartStandalone(t, func(_ *scenario.Site, f *config.File) {
		f.Signalling[0].Overlays = map[string]string{
			config.AnyOverlay: config.GroupPrefix + testbed.Group,
			salon.Name:        config.RoomPrefix + room + "@" + testbed.RoomsDomain,
		}
	}, testbed.SiteConfig{Name: "a"}, testbed.SiteConfig{Name: "b"}, testbed.SiteConfig{Name: "c"})
	a, b, c := d.Sites[0], d.Sites[1], d.Sites[2]
	xmpp := d.Lab.Internet().XMPP
	setRoom := func(ctx context.Context, members ...testbed.Account) error {
		_, err := xmpp.CreateRoom(ctx, room, members...)
		return err
	}
	if err := setRoom(scenario.Within(t, 20*time.Second), a.Account, b.Account, c.Account); err != nil {
		t.Fatal(err)
	}
	scenario.JoinAll(t, d, team)
	scenario.JoinAll(t, d, salon)

	t.Run("removed from the group", func(t *testing.T) {
		removed(t, d, team, xmpp.SetGroup)
		began := time.Now()
		scenario.AwaitSession(t, 30*time.Second, a, team.Name, b.Account.JID)
		t.Logf("let in again, b has a session after %v", time.Since(began).Round(time.Millisecond))
	})
	t.Run("removed from the room", func(t *testing.T) {
		removed(t, d, salon, func(ctx context.Context, members ...testbed.Account) error {
			return xmpp.SetRoomMembers(ctx, room, members...)
		})
	})
	again := time.Now()
	t.Run("offline", func(t *testing.T) { offline(t, a, b) })
	t.Run("in the room again", func(t *testing.T) {
		scenario.AwaitSession(t, time.Minute, a, salon.Name, b.Account.JID) // a room does not say whom it lets in
		t.Logf("b has a session again %v after it was let in at the latest", time.Since(again).Round(time.Second))
	})
	t.Run("copied identity", func(t *testing.T) { copied(t, d, a, b, c) })
}

// removed takes b out of an overlay by a list of its members, and lets it in again.
func removed(t *testing.T, d *scenario.Deployment, o scenario.Overlay, set func(context.Context, ...testbed.Account) error) {
	a, b, c := d.Sites[0], d.Sites[1], d.Sites[2]
	others := scenario.AwaitSession(t, time.Second, a, o.Name, c.Account.JID)
	node := scenario.OverlayAt(t, b, o.Name).Node
	began := time.Now()
	if err := set(scenario.Within(t, 20*time.Second), a.Account, c.Account); err != nil {
		t.Fatal(err)
	}
	told := time.Since(began)
	scenario.Until(t, 2*removal, func() error {
		for _, pair := range [][2]*scenario.Site{{a, b}, {c, b}, {b, a}, {b, c}} {
			if scenario.SessionWith(t, pair[0], o.Name, pair[1].Account.JID) != nil {
				return fmt.Errorf("%s still has a session with %s", pair[0].Name(), pair[1].Name())
			}
		}
		return nil
	})
	took := time.Since(began)
	t.Logf("sessions gone %v after the server began to be told, which took %v", took.Round(time.Millisecond), told.Round(time.Millisecond))
	if took > removal {
		t.Errorf("that is more than %v", removal)
	}
	n := scenario.OverlayAt(t, a, o.Name)
	for _, m := range n.Members {
		if m.JID == b.Account.JID {
			t.Errorf("a still has the member %+v", m)
		}
	}
	for _, e := range n.Directory {
		if e.Node == node {
			t.Errorf("a still knows the address %+v", e)
		}
	}
	scenario.Unchanged(t, a, o.Name, c.Account.JID, others)
	if err := set(scenario.Within(t, 20*time.Second), a.Account, b.Account, c.Account); err != nil {
		t.Fatal(err)
	}
}

// offline resets b's connection with the server and every further one, in both directions.
func offline(t *testing.T, a, b *scenario.Site) {
	const quiet = 20 * time.Second
	before := scenario.AwaitSession(t, 20*time.Second, a, team.Name, b.Account.JID)
	rules := func(act string) {
		t.Helper()
		for _, port := range []string{"--dport", "--sport"} {
			if _, err := b.Router.Run(scenario.Within(t, 10*time.Second), "iptables", act, "FORWARD", "-p", "tcp", port, "5222", "-j", "REJECT", "--reject-with", "tcp-reset"); err != nil {
				t.Fatal(err)
			}
		}
	}
	online := func() bool {
		for _, m := range scenario.OverlayAt(t, a, team.Name).Members {
			if m.JID == b.Account.JID {
				return m.Online
			}
		}
		t.Error("b is no member any more")
		return false
	}
	rules("-I")
	// Presence is sent when overlays change, and that meets the reset.
	word := testbed.EvioNetwork{Name: "word"}
	for _, s := range []*scenario.Site{b, a} {
		if err := s.CreateEvioNetwork(scenario.Within(t, 20*time.Second), word); err != nil {
			t.Fatal(err)
		}
	}
	scenario.Until(t, 20*time.Second, func() error {
		if online() || scenario.Document(t, b).Signalling[0].Connected {
			return errors.New("b is still online")
		}
		return nil
	})
	scenario.Pause(t, quiet)
	if online() {
		t.Error("b was not offline all the time")
	}
	scenario.Unchanged(t, a, team.Name, b.Account.JID, before)
	scenario.Inside(t, a, team.Name, "ping", "-q", "-c", "2", "-i", "0.2", "-W", "2", team.Addresses(b)[0].String())
	rules("-D")
	scenario.Until(t, 90*time.Second, func() error {
		if !online() {
			return errors.New("b is still offline")
		}
		return nil
	})
	scenario.Unchanged(t, a, team.Name, b.Account.JID, before)
}

// copied starts c's evio with b's account and identity, as a copied machine would.
func copied(t *testing.T, d *scenario.Deployment, a, b, c *scenario.Site) {
	const identity, password, settings = "/var/lib/evio/identity.pem", "/etc/evio/password", "/etc/evio/config.json"
	before := scenario.AwaitSession(t, 30*time.Second, a, team.Name, b.Account.JID)
	ctx := scenario.Within(t, 30*time.Second)
	if err := c.StopEvio(ctx); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{identity, password} {
		data, err := os.ReadFile(b.Path(name))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.WriteFile(ctx, name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	own, err := os.ReadFile(c.Path(settings))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(own, []byte(c.Account.JID)) {
		t.Fatalf("%s does not name the account: %s", settings, own)
	}
	if err := c.StartEvio(ctx, testbed.EvioOptions{Config: bytes.ReplaceAll(own, []byte(c.Account.JID), []byte(b.Account.JID))}); err != nil {
		t.Fatal(err)
	}
	scenario.Until(t, 30*time.Second, func() error {
		d := scenario.Document(t, c)
		if !strings.Contains(strings.Join(d.Faults, " "), "has the same identity") || len(scenario.OverlayIn(d, team.Name).Sessions) > 0 {
			return fmt.Errorf("the copy goes on: %v", d.Faults)
		}
		return nil
	})
	for s, text := range map[*scenario.Site]string{b: "has this engine's identity", c: "has the same identity"} {
		log, err := os.ReadFile(filepath.Join(d.Lab.LogDir(), s.Name()+"-evio.log"))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(log, []byte(text)) {
			t.Errorf("%s has not logged it", s.Name())
		}
	}
	if faults := scenario.Document(t, b).Faults; len(faults) > 0 {
		t.Errorf("the original has faults: %v", faults)
	}
	scenario.Pause(t, 5*time.Second)
	scenario.Unchanged(t, a, team.Name, b.Account.JID, before)
	scenario.Inside(t, a, team.Name, "ping", "-q", "-c", "2", "-i", "0.2", "-W", "2", team.Addresses(b)[0].String())
}
