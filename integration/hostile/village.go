//go:build e2e

package hostile

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"evio/integration/scenario"
	"evio/integration/testbed"
	"evio/plugin/config"
)

// lied is an order to a hostile-member: what it says of addresses.
type lied struct {
	MAC        string       `json:"mac"`
	Addresses  []netip.Addr `json:"addresses,omitempty"`
	Prefix     string       `json:"prefix,omitempty"`
	Generation uint64       `json:"generation,omitempty"`
	Flips      int          `json:"flips,omitempty"`
	Every      int64        `json:"every,omitempty"`
}

const highest = 1 << 48 // generation that nobody can outrank

// village is three honest sites and a member that lies: engines at a and b, c without.
type village struct {
	*scenario.Deployment
	a, b, c *scenario.Site
	net     scenario.Network
	mallory testbed.Account
	member  *hand
	logged  map[*scenario.Site]int // bytes of each log that were looked at
	settled time.Time              // when the honest ones knew of each other's addresses
}

func newVillage(t *testing.T) *village {
	t.Helper()
	began := time.Now()
	lab := testbed.StartSites(t, testbed.Options{}, testbed.SiteConfig{Name: "a"}, testbed.SiteConfig{Name: "b"}, testbed.SiteConfig{Name: "c"})
	internet := lab.Internet()
	ctx := scenario.Within(t, time.Minute)
	d, err := scenario.Prepare(ctx, lab, func(_ *scenario.Site, f *config.File) { f.Log.Level = "info" })
	if err != nil {
		t.Fatal(err)
	}
	v := &village{
		Deployment: d, a: d.Sites[0], b: d.Sites[1], c: d.Sites[2],
		net: scenario.Network{Name: open.Name, Net: open.Net}, logged: map[*scenario.Site]int{},
	}
	if v.mallory, err = internet.XMPP.AddAccount(ctx, "mallory", "secret of mallory"); err != nil {
		t.Fatal(err)
	}
	if err := internet.XMPP.SetGroup(ctx, v.a.Account, v.b.Account, v.c.Account, v.mallory); err != nil {
		t.Fatal(err)
	}
	if err := internet.WriteFile(ctx, "/root/ca.pem", internet.CA(), 0o600); err != nil {
		t.Fatal(err)
	}
	together(t, func() error {
		if err := v.c.StartEvio(ctx, testbed.EvioOptions{}); err != nil {
			return err
		}
		return v.c.Join(ctx, open)
	}, func() error { return v.start(ctx, v.a) }, func() error { return v.start(ctx, v.b) })
	v.meet(t)
	v.held(t)
	v.settled = time.Now()
	t.Logf("three sites: %v", time.Since(began).Round(time.Millisecond))
	v.member = newHand(t, internet.Machine, "member", "hostile-member", "-state", hostileDir, "-overlay", open.Name,
		"-server", internet.XMPP.StartTLSAddress(), "-jid", v.mallory.JID, "-password", v.mallory.Password, "-ca", "/root/ca.pem",
		"-subnet", fmt.Sprintf("10.%d.0.0/16", open.Net), "-subnet", fmt.Sprintf("fd00:%d::/64", open.Net))
	for _, s := range v.Sites {
		scenario.AwaitSession(t, 20*time.Second, s, open.Name, v.mallory.JID)
	}
	return v
}

// meet waits for the sessions of the honest ones.
func (v *village) meet(t *testing.T) {
	t.Helper()
	for _, s := range v.Sites {
		for _, o := range v.Sites {
			if s != o {
				scenario.AwaitSession(t, 20*time.Second, s, open.Name, o.Account.JID)
			}
		}
	}
}

// start runs an engine with the plugin, the network and a container.
func (v *village) start(ctx context.Context, s *scenario.Site) error {
	if err := s.StartEngine(ctx, testbed.EngineOptions{}); err != nil {
		return err
	}
	if err := s.InstallPlugin(ctx, scenario.PluginName, scenario.Bundle, nil); err != nil {
		return err
	}
	if err := s.Create(ctx, v.net); err != nil {
		return err
	}
	return s.RunContainer(ctx, scenario.ContainerName(s, v.net), v.net.Name)
}

// victim is the container of a, whose addresses the member wants.
func (v *village) victim(t *testing.T) host {
	t.Helper()
	for _, e := range scenario.OverlayAt(t, v.a, open.Name).Endpoints {
		if len(e.Addresses) == 2 {
			mac, err := net.ParseMAC(e.MAC)
			if err != nil {
				t.Fatal(err)
			}
			h := host{mac: mac}
			for _, text := range e.Addresses {
				if a := netip.MustParseAddr(text); a.Is4() {
					h.v4 = a
				} else {
					h.v6 = a
				}
			}
			if h.v4.String() == v.address(t, v.a) {
				return h
			}
		}
	}
	t.Fatal("a has no container")
	return host{}
}

func (v *village) address(t *testing.T, s *scenario.Site) string {
	t.Helper()
	v4, _ := scenario.Addresses(t, s, scenario.ContainerName(s, v.net), v.net.Name)
	return v4
}

// lie has the member claim all of the victim's, with its own MAC address too, in a generation that
// nobody outranks.
func (v *village) lie(t *testing.T) {
	t.Helper()
	h := v.victim(t)
	for _, mac := range []net.HardwareAddr{h.mac, malloryHost(open).mac} {
		v.member.ask(t, "POST /lie", lied{MAC: hex.EncodeToString(mac), Addresses: []netip.Addr{h.v4, h.v6}, Generation: highest}, nil)
	}
}

// held fails the test unless all know for a while that the victim's addresses are a's.
func (v *village) held(t *testing.T) {
	t.Helper()
	h := v.victim(t)
	node := scenario.OverlayAt(t, v.a, open.Name).Node
	var bad error
	scenario.Until(t, 10*time.Second, func() error { bad = v.owned(t, h, node); return bad })
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end); {
		if bad = v.owned(t, h, node); bad != nil {
			t.Fatal(bad)
		}
	}
	for _, n := range scenario.OverlayAt(t, v.a, open.Name).Conflicts {
		t.Errorf("a has lost %+v", n)
	}
}

// owned reports the sites that do not know that all addresses of a host belong to a node.
func (v *village) owned(t *testing.T, h host, node string) error {
	t.Helper()
	for _, s := range v.Sites {
		at := map[string]string{}
		for _, e := range scenario.OverlayAt(t, s, open.Name).Directory {
			key := e.Address
			if key == "" {
				key = e.MAC
			}
			at[key] = e.Node
		}
		for _, key := range []string{h.mac.String(), h.v4.String(), h.v6.String()} {
			if at[key] != node {
				return fmt.Errorf("at %s %s is of %q, not of a", s.Name(), key, at[key])
			}
		}
	}
	return nil
}

// reconnects ends the sessions of the member and waits for others.
func (v *village) reconnects(t *testing.T) {
	t.Helper()
	before := map[*scenario.Site]time.Time{}
	for _, s := range v.Sites {
		before[s] = scenario.AwaitSession(t, 20*time.Second, s, open.Name, v.mallory.JID).Established
	}
	v.member.ask(t, "POST /reconnect", nil, nil)
	for _, s := range v.Sites {
		scenario.Until(t, 20*time.Second, func() error {
			if now := scenario.SessionWith(t, s, open.Name, v.mallory.JID); now == nil || now.State != "established" || now.Established.Equal(before[s]) {
				return fmt.Errorf("%s has no new session with the member", s.Name())
			}
			return nil
		})
	}
}

// lines returns what the evio of sites has logged since it was asked last.
func (v *village) lines(t *testing.T, sites ...*scenario.Site) map[*scenario.Site][]string {
	t.Helper()
	all := map[*scenario.Site][]string{}
	for _, s := range sites {
		file, only := s.Name()+"-dockerd.log", []byte("plugin=")
		if s == v.c {
			file, only = s.Name()+"-evio.log", nil
		}
		b, err := os.ReadFile(filepath.Join(v.Lab.LogDir(), file))
		if err != nil {
			t.Fatal(err)
		}
		end := bytes.LastIndexByte(b, '\n') + 1
		for line := range bytes.Lines(b[min(v.logged[s], end):end]) {
			if bytes.Contains(line, only) {
				all[s] = append(all[s], string(bytes.TrimSpace(line)))
			}
		}
		v.logged[s] = end
	}
	return all
}
