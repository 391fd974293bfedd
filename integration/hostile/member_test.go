//go:build e2e

package hostile

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"evio/integration/scenario"
	"evio/integration/testbed"
	"evio/plugin/config"
)

const (
	flipsEach = time.Second / 150 // between two records
	flipsFor  = time.Minute
	// youth is how long a claim may still turn out to be another's who made it first.
	youth = time.Minute
	// mostLines is what a node may log in a minute in which a member lies.
	mostLines = 6
)

// lied is what a hostile-member is told to say of addresses.
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

// TestHostileMember: a member that says of other members' addresses whatever it likes takes none of
// them, keeps nobody from new ones, ends no session between others and fills no log. It is named
// once, by whom it wants to take from, and nobody else is.
func TestHostileMember(t *testing.T) {
	v := newVillage(t)
	young := v.settled
	v.lines(t, v.a, v.b, v.c) // what was logged until now
	t.Run("squats", v.squats)
	t.Run("honest failover", v.failover)
	if !sleepUntil(t, young.Add(youth)) {
		return
	}
	t.Run("flips", v.flips)
	t.Run("high generation", func(t *testing.T) {
		v.lie(t)
		v.held(t)
	})
	t.Run("reconnects", func(t *testing.T) {
		for range 2 {
			v.reconnects(t)
			v.lie(t)
			v.held(t)
		}
	})
	t.Run("silent", func(t *testing.T) {
		v.member.ask(t, "POST /silence", true, nil)
		v.reconnects(t)
		v.lie(t)
		v.held(t)
		v.member.ask(t, "POST /silence", false, nil)
	})
	v.named(t)
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

// together runs all at once.
func together(t *testing.T, all ...func() error) {
	t.Helper()
	done := make(chan error, len(all))
	for _, f := range all {
		go func() { done <- f() }()
	}
	var errs []error
	for range all {
		errs = append(errs, <-done)
	}
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// sleepUntil waits, and reports whether the test goes on.
func sleepUntil(t *testing.T, at time.Time) bool {
	t.Helper()
	select {
	case <-t.Context().Done():
		return false
	case <-time.After(time.Until(at)):
		return !t.Failed()
	}
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

// squats: all addresses of a's and b's ranges, and what lies outside of them, are claimed with many
// MAC addresses, and both engines start containers with addresses of their own ranges.
func (v *village) squats(t *testing.T) {
	for i := range 2 {
		for _, generation := range []uint64{1, highest} {
			v.member.ask(t, "POST /lie", lied{MAC: fmt.Sprintf("0666%02x000000", i+1), Prefix: fmt.Sprintf("10.%d.%d.0/24", open.Net, i+1), Generation: generation}, nil)
		}
	}
	node := map[string]string{}
	for i, s := range []*scenario.Site{v.a, v.b} {
		const container = "late"
		scenario.StartContainer(t, s, container, v.net.Name)
		v4, _ := scenario.Addresses(t, s, container, v.net.Name)
		if want := netip.MustParsePrefix(fmt.Sprintf("10.%d.%d.0/24", open.Net, i+1)); !want.Contains(netip.MustParseAddr(v4)) {
			t.Errorf("%s: its container has %s, which is not of %v", s.Name(), v4, want)
		}
		node[v4] = scenario.OverlayAt(t, s, open.Name).Node
	}
	for _, s := range v.Sites {
		scenario.Until(t, 5*time.Second, func() error {
			known := 0
			for _, e := range scenario.OverlayAt(t, s, open.Name).Directory {
				if node[e.Address] == e.Node {
					known++
				}
			}
			if known != len(node) {
				return fmt.Errorf("%s knows %d of %d late containers where they are", s.Name(), known, len(node))
			}
			return nil
		})
	}
	scenario.Exec(t, v.a, "late", "ping", "-q", "-c", "3", "-i", "0.2", "-W", "2", v.address(t, v.b))
}

// failover: c dies, and its address goes to a container of b; then c is there again. Nobody lies.
func (v *village) failover(t *testing.T) {
	ctx := scenario.Within(t, 40*time.Second)
	address := open.Addresses(v.c)[0].String()
	if err := v.c.KillEvio(ctx); err != nil {
		t.Fatal(err)
	}
	scenario.Until(t, 20*time.Second, func() error {
		_, err := v.b.Docker(ctx, "run", "-d", "--rm", "--name", "heir", "--network", v.net.Name, "--ip", address, testbed.Image)
		if err != nil {
			_, _ = v.b.Docker(ctx, "rm", "-f", "heir")
		}
		return err
	})
	if err := v.c.StartEvio(ctx, testbed.EvioOptions{}); err != nil {
		t.Fatal(err)
	}
	scenario.AwaitSession(t, 20*time.Second, v.c, open.Name, v.b.Account.JID)
	if _, err := v.b.Docker(ctx, "rm", "-f", "heir"); err != nil {
		t.Fatal(err)
	}
	node := scenario.OverlayAt(t, v.c, open.Name).Node
	for _, s := range v.Sites {
		scenario.Until(t, 20*time.Second, func() error {
			for _, e := range scenario.OverlayAt(t, s, open.Name).Directory {
				if e.Address == address && e.Node == node {
					return nil
				}
			}
			return fmt.Errorf("%s does not know that %s is c's again", s.Name(), address)
		})
	}
	v.meet(t)
}

// flips: claims and withdrawals of the victim's, in turn, as fast as the member may.
func (v *village) flips(t *testing.T) {
	h := v.victim(t)
	type pair struct{ s, o *scenario.Site }
	sessions := map[pair]time.Time{}
	for _, s := range v.Sites {
		for _, o := range v.Sites {
			if s != o {
				sessions[pair{s, o}] = scenario.AwaitSession(t, time.Second, s, open.Name, o.Account.JID).Established
			}
		}
	}
	v.lines(t, v.Sites...)
	pinged := make(chan string, 1)
	far := v.address(t, v.b)
	ctx := scenario.Within(t, flipsFor+30*time.Second)
	go func() {
		count := strconv.Itoa(int(flipsFor / (100 * time.Millisecond)))
		out, err := v.a.Exec(ctx, scenario.ContainerName(v.a, v.net), "ping", "-q", "-i", "0.1", "-c", count, "-W", "2", far)
		pinged <- fmt.Sprint(out, err)
	}()
	err := v.member.try(ctx, "POST /lie", lied{
		MAC: hex.EncodeToString(h.mac), Addresses: []netip.Addr{h.v4, h.v6}, Generation: highest,
		Flips: int(flipsFor / flipsEach), Every: flipsEach.Microseconds(),
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	out := <-pinged
	lost := regexp.MustCompile(`([\d.]+)% packet loss`).FindStringSubmatch(out)
	if lost == nil {
		t.Fatalf("ping printed %q", out)
	}
	t.Logf("a to b: %s", lost[0])
	if percent, err := strconv.ParseFloat(lost[1], 64); err != nil || percent >= 1 {
		t.Errorf("want less than 1%%: %v", err)
	}
	for p, established := range sessions {
		now := scenario.SessionWith(t, p.s, open.Name, p.o.Account.JID)
		if now == nil || !now.Established.Equal(established) {
			t.Errorf("the session of %s with %s ended", p.s.Name(), p.o.Name())
		}
	}
	for s, lines := range v.lines(t, v.Sites...) {
		t.Logf("%s has logged %d lines", s.Name(), len(lines))
		if len(lines) > mostLines {
			t.Errorf("want %d at most:\n%s", mostLines, strings.Join(lines[:min(len(lines), 12)], "\n"))
		}
	}
	v.held(t)
}

// named fails the test unless the victim's site has named the member, each site for each thing at
// most once, and nobody else.
func (v *village) named(t *testing.T) {
	t.Helper()
	said := regexp.MustCompile(`level=(?:warning|error) msg=\\?"([^"\\]*)`)
	for _, s := range v.Sites {
		times := map[string]int{}
		v.logged[s] = 0
		for _, line := range v.lines(t, s)[s] {
			if !strings.Contains(line, "level=warning") && !strings.Contains(line, "level=error") {
				continue
			}
			for _, o := range v.Sites {
				if strings.Contains(line, "peer="+o.Account.JID) || strings.Contains(line, `peer=\"`+o.Account.JID) {
					t.Errorf("%s blames %s: %s", s.Name(), o.Name(), line)
				}
			}
			if m := said.FindStringSubmatch(line); m != nil && strings.Contains(line, v.mallory.JID) {
				times[m[1]]++
			}
		}
		if s == v.a && times["it claims what this engine has"] == 0 {
			t.Errorf("%s does not name the member", s.Name())
		}
		for what, n := range times {
			t.Logf("%s says %d times of the member: %s", s.Name(), n, what)
			if n > 1 {
				t.Errorf("%s says it %d times: %s", s.Name(), n, what)
			}
		}
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
