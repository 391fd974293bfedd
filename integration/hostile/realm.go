//go:build e2e

package hostile

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"evio/driver/status"
	"evio/integration/scenario"
	"evio/integration/testbed"
	"evio/plugin/config"
)

const (
	// listAge is how old a list of members may be at all sites, the least there is.
	listAge = time.Minute
	// hush is the longest silence allowed between sites that are left alone: less than what
	// ends a session.
	hush = 3 * time.Second
)

// realm is four honest sites whose XMPP server is not to be trusted. An engine runs at a, so that
// nothing but what is tried degrades it; a and b talk all the time, c and d are kept away from the
// server.
type realm struct {
	*scenario.Deployment
	a, b, c, d *scenario.Site
	net        scenario.Network
	mallory    testbed.Account              // of another engine that may come
	member     *hand                        // that engine
	plain      *hand                        // a server that asks for passwords
	talk       scenario.Watched             // from b to a
	session    *status.Session              // of a with b
	began      time.Time                    // when both talked
	confirmed  map[*scenario.Site]time.Time // when c and d last heard the list of members
}

func newRealm(t *testing.T) *realm {
	t.Helper()
	began := time.Now()
	lab := testbed.StartSites(t, testbed.Options{}, testbed.SiteConfig{Name: "a"}, testbed.SiteConfig{Name: "b"}, testbed.SiteConfig{Name: "c"}, testbed.SiteConfig{Name: "d"})
	internet := lab.Internet()
	ctx := scenario.Within(t, time.Minute)
	d, err := scenario.Prepare(ctx, lab, func(_ *scenario.Site, f *config.File) {
		f.MembershipMaxAge, f.RekeySeconds = int(listAge/time.Second), 10
	})
	if err != nil {
		t.Fatal(err)
	}
	r := &realm{
		Deployment: d, a: d.Sites[0], b: d.Sites[1], c: d.Sites[2], d: d.Sites[3],
		net: scenario.Network{Name: open.Name, Net: open.Net}, confirmed: map[*scenario.Site]time.Time{},
	}
	if r.mallory, err = internet.XMPP.AddAccount(ctx, "mallory", "secret of mallory"); err != nil {
		t.Fatal(err)
	}
	if err := internet.WriteFile(ctx, "/root/ca.pem", internet.CA(), 0o600); err != nil {
		t.Fatal(err)
	}
	r.list(t, true)
	var starts []func() error
	for _, s := range []*scenario.Site{r.b, r.c, r.d} {
		starts = append(starts, func() error {
			if err := s.StartEvio(ctx, testbed.EvioOptions{}); err != nil {
				return err
			}
			return s.Join(ctx, open)
		})
	}
	together(t, starts...)
	scenario.AwaitSession(t, 20*time.Second, r.c, open.Name, r.b.Account.JID)
	r.cut(t, r.c) // first, for its list is to be as old as it may be
	if err := r.start(ctx); err != nil {
		t.Fatal(err)
	}
	for _, s := range []*scenario.Site{r.b, r.d} {
		scenario.AwaitSession(t, 20*time.Second, s, open.Name, r.a.Account.JID)
		scenario.AwaitSession(t, 20*time.Second, r.a, open.Name, s.Account.JID)
	}
	r.cut(t, r.d)
	awaitStatus(t, r.a, 0)
	r.session = scenario.AwaitSession(t, time.Second, r.a, open.Name, r.b.Account.JID)
	v4, _ := scenario.Addresses(t, r.a, scenario.ContainerName(r.a, r.net), r.net.Name)
	p, err := r.b.Start(scenario.Within(t, 10*time.Second), "talk", "nsenter", "--net=/run/netns/"+open.Name, "ping", "-n", "-D", "-i", "0.1", v4)
	if err != nil {
		t.Fatal(err)
	}
	r.talk, r.began = scenario.Watched{Ends: "from b to a", Ping: scenario.Job{Process: p, Name: "ping"}}, time.Now()
	t.Logf("four sites: %v", time.Since(began).Round(time.Millisecond))
	return r
}

// start runs an engine with the plugin, the network and a container at a, and puts the command
// where an operator has it.
func (r *realm) start(ctx context.Context) error {
	s := r.a
	if err := s.StartEngine(ctx, testbed.EngineOptions{}); err != nil {
		return err
	}
	if err := s.InstallPlugin(ctx, scenario.PluginName, scenario.Bundle, nil); err != nil {
		return err
	}
	program, err := os.ReadFile(filepath.Join(scenario.Bundle, "rootfs/bin/evio"))
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(s.Shared(), "evio"), program, 0o755); err != nil {
		return err
	}
	if err := s.Create(ctx, r.net); err != nil {
		return err
	}
	return s.RunContainer(ctx, scenario.ContainerName(s, r.net), r.net.Name)
}

// list makes the sites members, mallory with them or not.
func (r *realm) list(t *testing.T, mallory bool) {
	t.Helper()
	members := []testbed.Account{r.a.Account, r.b.Account, r.c.Account, r.d.Account}
	if mallory {
		members = append(members, r.mallory)
	}
	if err := r.Lab.Internet().XMPP.SetGroup(scenario.Within(t, 20*time.Second), members...); err != nil {
		t.Fatal(err)
	}
}

// reach lets a site's TCP connections to the server through, or resets them.
func (r *realm) reach(t *testing.T, s *scenario.Site, through bool) {
	t.Helper()
	act := "-I"
	if through {
		act = "-D"
	}
	for _, port := range []string{"--dport", "--sport"} {
		if _, err := s.Router.Run(scenario.Within(t, 10*time.Second), "iptables", act, "FORWARD", "-p", "tcp", port, "5222", "-j", "REJECT", "--reject-with", "tcp-reset"); err != nil {
			t.Fatal(err)
		}
	}
}

// cut keeps a site away from the server.
func (r *realm) cut(t *testing.T, s *scenario.Site) {
	t.Helper()
	r.reach(t, s, false)
	r.confirmed[s] = listed(t, s)
}

// listed is when a site's list of members was last complete.
func listed(t *testing.T, s *scenario.Site) time.Time {
	t.Helper()
	d := scenario.Document(t, s)
	if len(d.Signalling) != 1 || len(d.Signalling[0].Lists) != 1 {
		t.Fatalf("%s: signalling %+v", s.Name(), d.Signalling)
	}
	return d.Signalling[0].Lists[0].Confirmed
}

// command runs evio at a site and returns what it printed, on one line, and its exit code.
func command(t *testing.T, s *scenario.Site, args ...string) (string, int) {
	t.Helper()
	said, code := scenario.AskStatus(t, s, append([]string{filepath.Join(testbed.SharedDir, "evio")}, args...)...)
	return strings.Join(strings.Fields(said), " "), code
}

// awaitStatus waits until evio status ends with the code and says all the texts, which are
// also among the faults.
func awaitStatus(t *testing.T, s *scenario.Site, code int, texts ...string) {
	t.Helper()
	scenario.Until(t, 30*time.Second, func() error {
		said, got := command(t, s, "status")
		faults := strings.Join(scenario.Document(t, s).Faults, "\n")
		for _, text := range texts {
			if !strings.Contains(said, text) || !strings.Contains(faults, text) {
				return fmt.Errorf("%s does not say %q: %s\nfaults: %s", s.Name(), text, said, faults)
			}
		}
		if got != code {
			return fmt.Errorf("%s: exit code %d, want %d: %s", s.Name(), got, code, said)
		}
		return nil
	})
}

// silentOn fails the test if a site's faults have a text.
func silentOn(t *testing.T, s *scenario.Site, text string) {
	t.Helper()
	if faults := strings.Join(scenario.Document(t, s).Faults, "\n"); strings.Contains(faults, text) {
		t.Errorf("%s says: %s", s.Name(), faults)
	}
}

// come starts mallory's engine with the identity that is kept in a folder.
func (r *realm) come(t *testing.T, state string) {
	t.Helper()
	r.member = newHand(t, r.Lab.Internet().Machine, "member", "hostile-member", "-state", state, "-overlay", open.Name, "-port", "14791",
		"-server", r.Lab.Internet().XMPP.StartTLSAddress(), "-jid", r.mallory.JID, "-password", r.mallory.Password, "-ca", "/root/ca.pem",
		"-subnet", fmt.Sprintf("10.%d.0.0/16", open.Net), "-subnet", fmt.Sprintf("fd00:%d::/64", open.Net))
}

// again has the account leave and come back, taken out of the list and put back meanwhile.
func (r *realm) again(t *testing.T, state string) {
	t.Helper()
	r.member.stop(t)
	r.list(t, false)
	scenario.Until(t, 10*time.Second, func() error {
		for _, m := range scenario.OverlayAt(t, r.a, open.Name).Members {
			if m.JID == r.mallory.JID {
				return errors.New("a still has the member")
			}
		}
		return nil
	})
	r.list(t, true)
	r.come(t, state)
}

// pinOf is the file of an account's pin.
func pinOf(t *testing.T, s *scenario.Site, jid string) string {
	t.Helper()
	files, err := filepath.Glob(s.Path("/var/lib/evio/peers/*.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(b), `"`+jid+`"`) {
			return file
		}
	}
	t.Fatalf("%s has no pin of %s: %v", s.Name(), jid, files)
	return ""
}
