//go:build e2e

package hostile

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"evio/integration/scenario"
	"evio/integration/testbed"
	"evio/overlay/nodeid"
	"evio/plugin/config"
)

// federation is two honest sites, a and b, and their adversaries: one on the wire, the operator of
// a's XMPP server, a member of the overlay, and accounts.
type federation struct {
	*scenario.Deployment
	a, b    *scenario.Site
	host    *testbed.Machine // of the hostile member
	proxy   *hand            // a's XMPP server
	fake    *hand            // an XMPP server whose certificate nobody trusts
	mallory testbed.Account  // the hostile member
	member  *hand            // its program
	liar    testbed.Account
}

const hostileDir = "/root/mallory" // keeps the hostile member's identity

func newFederation(t *testing.T) *federation {
	t.Helper()
	began := time.Now()
	lab := testbed.StartSites(t, testbed.Options{}, testbed.SiteConfig{Name: "a"}, testbed.SiteConfig{Name: "b"}, testbed.SiteConfig{Name: "m", NAT: testbed.None})
	internet := lab.Internet()
	f := &federation{host: lab.Site("m").Machine}
	ctx := scenario.Within(t, 2*time.Minute)
	write := func(m *testbed.Machine, name string, data []byte) {
		t.Helper()
		if err := m.WriteFile(ctx, name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(internet.Machine, "/root/ca.pem", internet.CA())
	write(f.host, "/root/ca.pem", internet.CA())
	f.proxy = newHand(t, internet.Machine, "proxy", "xmpp-proxy", "-listen", "198.51.100.1:5223", "-domain", testbed.XMPPDomain,
		"-upstream", internet.XMPP.DirectTLSAddress(), "-ca", "/root/ca.pem", "-certificate", "/root/proxy.pem")
	f.fake = newHand(t, internet.Machine, "fake", "xmpp-proxy", "-listen", "198.51.100.1:5224", "-domain", testbed.XMPPDomain,
		"-certificate", "/root/fake.pem")
	trusted, err := os.ReadFile(internet.Path("/root/proxy.pem"))
	if err != nil {
		t.Fatal(err)
	}
	write(lab.Site("a").Machine, "/etc/evio/proxy.pem", trusted)

	f.Deployment, err = scenario.Standalone(ctx, lab, func(s *scenario.Site, c *config.File) {
		service := &c.Signalling[0]
		c.RekeySeconds = 10
		switch s.Name() {
		case "a":
			service.Server, service.TLS, service.CAFile = "198.51.100.1:5223", config.DirectTLS, "/etc/evio/proxy.pem"
			service.Overlays = map[string]string{config.AnyOverlay: "group:" + testbed.Group, closed.Name: "group:board"}

		case "m":
			service.Server, service.TLS = "198.51.100.1:5224", config.DirectTLS
			c.UDPPort = 0
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	f.a, f.b = f.Sites[0], f.Sites[1]
	for name, account := range map[string]*testbed.Account{"mallory": &f.mallory, "liar": &f.liar} {
		if *account, err = internet.XMPP.AddAccount(ctx, name, "secret of "+name); err != nil {
			t.Fatal(err)
		}
	}
	if err := internet.XMPP.SetGroup(ctx, f.a.Account, f.b.Account, f.mallory, f.liar); err != nil {
		t.Fatal(err)
	}
	scenario.Until(t, 20*time.Second, func() error {
		for _, s := range []*scenario.Site{f.a, f.b} {
			if d := scenario.Document(t, s); d.Switch.Version == "" || !d.Signalling[0].Connected {
				return fmt.Errorf("%s is not ready: %v", s.Name(), d.Faults)
			}
		}
		return nil
	})
	t.Logf("two sites with evio: %v", time.Since(began).Round(time.Millisecond))
	return f
}

// newMember starts the hostile member, which is let in like any other.
func (f *federation) newMember(t *testing.T) {
	t.Helper()
	f.startMember(t, hostileDir)
	for _, s := range []*scenario.Site{f.a, f.b} {
		scenario.AwaitSession(t, 20*time.Second, s, open.Name, f.mallory.JID)
	}
	f.claim(t, party{open, "claim", f.member, f.mallory.JID})
}

func (f *federation) startMember(t *testing.T, state string) {
	t.Helper()
	f.member = f.newMemberOf(t, "member", state, f.mallory, open)
}

// newMemberOf starts a hostile member of an overlay.
func (f *federation) newMemberOf(t *testing.T, name, state string, account testbed.Account, o scenario.Overlay) *hand {
	t.Helper()
	return newHand(t, f.host, name, "hostile-member", "-state", state, "-overlay", o.Name, "-port", strconv.Itoa(14750+o.Net),
		"-server", f.Lab.Internet().XMPP.StartTLSAddress(), "-jid", account.JID, "-password", account.Password, "-ca", "/root/ca.pem")
}

// logOf is what the evio of a site has logged.
func (f *federation) logOf(t *testing.T, s *scenario.Site) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(f.Lab.LogDir(), s.Name()+"-evio.log"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// awaitLog waits until a site has logged the text, and returns how often it has.
func (f *federation) awaitLog(t *testing.T, s *scenario.Site, text string) (times int) {
	t.Helper()
	scenario.Until(t, 10*time.Second, func() error {
		if times = bytes.Count(f.logOf(t, s), []byte(text)); times == 0 {
			return errors.New(s.Name() + " has not logged: " + text)
		}
		return nil
	})
	return times
}

// claim makes malloryHost the hostile member's, rightly, in the eyes of all.
func (f *federation) claim(t *testing.T, p party) {
	t.Helper()
	me := malloryHost(p.Overlay)
	p.member.ask(t, "POST /claim", map[string]any{"mac": hex.EncodeToString(me.mac), "addresses": []netip.Addr{me.v4, me.v6}}, nil)
	for _, s := range []*scenario.Site{f.a, f.b} {
		scenario.Until(t, 5*time.Second, func() error {
			for _, e := range scenario.OverlayAt(t, s, p.Name).Directory {
				if e.Address == me.v6.String() {
					return nil
				}
			}
			return fmt.Errorf("%s does not know the address of the hostile member", s.Name())
		})
	}
}

// party is an overlay of a guard, with a hostile member in it.
type party struct {
	scenario.Overlay
	guard  string
	member *hand
	jid    string
}

// newParty makes one that ends with the test.
func (f *federation) newParty(t *testing.T, guard string, o scenario.Overlay) party {
	t.Helper()
	xmpp := f.Lab.Internet().XMPP
	account, err := xmpp.AddAccount(scenario.Within(t, 10*time.Second), "mallory-"+guard, "secret of "+guard)
	if err == nil {
		err = xmpp.SetGroup(scenario.Within(t, 10*time.Second), f.a.Account, f.b.Account, f.mallory, f.liar, account)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []*scenario.Site{f.a, f.b} {
		if err := s.Join(scenario.Within(t, 20*time.Second), o); err != nil {
			t.Fatal(err)
		}
	}
	p := party{o, guard, f.newMemberOf(t, "member-"+guard, "/root/mallory-"+guard, account, o), account.JID}
	t.Cleanup(func() {
		p.member.stop(t)
		ctx := context.WithoutCancel(t.Context())
		if err := errors.Join(f.a.Quit(ctx, o), f.b.Quit(ctx, o), xmpp.SetGroup(ctx, f.a.Account, f.b.Account, f.mallory, f.liar)); err != nil {
			t.Error(err)
		}
	})
	for _, s := range []*scenario.Site{f.a, f.b} {
		scenario.AwaitSession(t, 20*time.Second, s, o.Name, account.JID)
	}
	scenario.AwaitSession(t, 20*time.Second, f.a, o.Name, f.b.Account.JID)
	f.claim(t, p)
	return p
}

// ring returns the honest sites in the order in which they come clockwise from the hostile member:
// what that floods over the first, the first hands on to the second.
func (f *federation) ring(t *testing.T) (first, second *scenario.Site) {
	t.Helper()
	var member struct {
		Node string `json:"node"`
	}
	f.member.ask(t, "GET /seen", nil, &member)
	at := func(node string) nodeid.ID {
		id, err := nodeid.Parse(node)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	m, a, b := at(member.Node), at(scenario.OverlayAt(t, f.a, open.Name).Node), at(scenario.OverlayAt(t, f.b, open.Name).Node)
	aWraps, bWraps := nodeid.Compare(a, m) < 0, nodeid.Compare(b, m) < 0
	if aWraps == bWraps && nodeid.Compare(a, b) < 0 || !aWraps && bWraps {
		return f.a, f.b
	}
	return f.b, f.a
}
