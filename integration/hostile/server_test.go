//go:build e2e

package hostile

import (
	"context"
	"encoding/json"
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
	mallory    testbed.Account              // as whom another engine may come
	member     *hand                        // that engine
	plain      *hand                        // a server that asks for passwords
	talk       scenario.Watched             // from b to a
	session    *status.Session              // of a with b
	began      time.Time                    // when both talked
	confirmed  map[*scenario.Site]time.Time // when c and d last heard who is a member
}

// TestHostileServer: who runs the XMPP server, stands before it or has a certificate for its
// name puts no engine in the place of another, keeps nobody in who was to be removed, and gets
// no password; sites that are left alone keep talking.
func TestHostileServer(t *testing.T) {
	r := newRealm(t)
	t.Run("account removed and added", r.removedAndAdded)
	t.Run("list a quarter of its age old", r.ageing)
	t.Run("over a restart, and a damaged pin", r.restarted)
	t.Run("only PLAIN", r.onlyPlain)
	t.Run("list too old", r.expired)
	undisturbedTalk(t, r)
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

// The server takes an account out of the list and puts it back. With the same identity it is
// as before; with another one it is refused until that very one is accepted.
func (r *realm) removedAndAdded(t *testing.T) {
	r.come(t, hostileDir)
	first := scenario.AwaitSession(t, 30*time.Second, r.a, open.Name, r.mallory.JID)
	pinned := strings.Fields(peersLine(t, r.a, r.mallory))
	if len(pinned) != 5 {
		t.Fatalf("pinned: %q", pinned)
	}
	r.again(t, hostileDir)
	if s := scenario.AwaitSession(t, 30*time.Second, r.a, open.Name, r.mallory.JID); s.Node != first.Node {
		t.Errorf("back as %s, was %s", s.Node, first.Node)
	}
	awaitStatus(t, r.a, 0)

	r.again(t, hostileDir+"-again")
	awaitStatus(t, r.a, 3, r.mallory.JID+" shows another identity than "+pinned[1]+", which is pinned")
	line := strings.Fields(peersLine(t, r.a, r.mallory))
	if len(line) != 5 || line[1] != pinned[1] || line[3] == "-" {
		t.Fatalf("peers list: %q, was %q", line, pinned)
	}
	said, _ := command(t, r.a, "status")
	if strings.Contains(said, line[3]) {
		t.Errorf("the identity of who is refused is there to be pasted: %s", said)
	}
	for _, m := range scenario.OverlayAt(t, r.a, open.Name).Members {
		if m.JID == r.mallory.JID && (m.Online || m.Node != first.Node) {
			t.Errorf("member %+v", m)
		}
	}
	for want, args := range map[string][]string{
		"not through this XMPP server, the identity that evio status prints there": {r.mallory.JID},
		"shows identity " + line[3] + " by now, not " + pinned[1]:                  {r.mallory.JID, pinned[1]},
	} {
		if said, code := command(t, r.a, append([]string{"peers", "accept"}, args...)...); code == 0 || !strings.Contains(said, want) {
			t.Errorf("accept %q: exit code %d: %s", args, code, said)
		}
	}
	peers(t, r.a, "accept", r.mallory.JID, line[3])
	if s := scenario.AwaitSession(t, 30*time.Second, r.a, open.Name, r.mallory.JID); s.Node == first.Node {
		t.Errorf("the session is with %s still", s.Node)
	}
	awaitStatus(t, r.a, 0)
}

// At a quarter of its age a list that nobody confirms is a fault; sessions go on.
func (r *realm) ageing(t *testing.T) {
	confirmed := r.confirmed[r.c]
	if !sleepUntil(t, confirmed.Add(listAge/4)) {
		return
	}
	awaitStatus(t, r.c, 3, "the members of account "+r.c.Account.JID+" by roster were last confirmed",
		"at "+confirmed.UTC().Format(time.RFC3339)+": their sessions end when that is 1m0s (membership_max_age)")
	scenario.AwaitSession(t, time.Second, r.c, open.Name, r.b.Account.JID)
}

// The age of a list counts on while the plugin begins anew. When the server is in reach again,
// whose pin was damaged meanwhile is refused until its identity is accepted.
func (r *realm) restarted(t *testing.T) {
	confirmed := r.confirmed[r.d]
	if !sleepUntil(t, confirmed.Add(listAge/4)) {
		return
	}
	if err := r.d.StopEvio(scenario.Within(t, 20*time.Second)); err != nil {
		t.Fatal(err)
	}
	pin := pinOf(t, r.d, r.a.Account.JID)
	if err := os.WriteFile(pin, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := r.d.StartEvio(scenario.Within(t, 20*time.Second), testbed.EvioOptions{}); err != nil {
		t.Fatal(err)
	}
	began := scenario.Document(t, r.d).Started
	awaitStatus(t, r.d, 3, "the members of account "+r.d.Account.JID+" by roster were last confirmed", "at "+confirmed.UTC().Format(time.RFC3339),
		filepath.Base(pin)+" of a peer is damaged")
	if early := began.Add(listAge / 4); time.Now().After(early) {
		t.Fatalf("a process that knows nothing of before would say so by now, %v after its start", time.Since(began))
	}
	if got := listed(t, r.d); got.Sub(confirmed).Abs() > time.Second {
		t.Errorf("confirmed at %v, want %v", got, confirmed)
	}

	r.reach(t, r.d, true)
	scenario.AwaitSession(t, 30*time.Second, r.d, open.Name, r.b.Account.JID)
	awaitStatus(t, r.d, 3, r.a.Account.JID+" is refused, because the pin of its identity is damaged")
	silentOn(t, r.d, "were last confirmed")
	if s := scenario.SessionWith(t, r.d, open.Name, r.a.Account.JID); s != nil {
		t.Errorf("d has the session %+v", s)
	}
	peers(t, r.d, "accept", r.a.Account.JID, scenario.Document(t, r.a).Membership.Identity) // as a's operator reads it out
	scenario.AwaitSession(t, 30*time.Second, r.d, open.Name, r.a.Account.JID)
	silentOn(t, r.d, "damaged")
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

// A server with a certificate that d trusts offers PLAIN alone, after the real one has offered
// better: it is told nothing, until the operator allows it.
func (r *realm) onlyPlain(t *testing.T) {
	internet := r.Lab.Internet()
	r.plain = newHand(t, internet.Machine, "plain", "xmpp-proxy", "-listen", "198.51.100.1:5224", "-domain", testbed.XMPPDomain, "-certificate", "/root/plain.pem")
	trusted, err := os.ReadFile(internet.Path("/root/plain.pem"))
	if err != nil {
		t.Fatal(err)
	}
	const file = "/etc/evio/config.json"
	text, err := os.ReadFile(r.d.Path(file))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.d.WriteFile(scenario.Within(t, 10*time.Second), "/etc/evio/plain.pem", trusted, 0o600); err != nil {
		t.Fatal(err)
	}
	var f config.File
	if err := json.Unmarshal(text, &f); err != nil {
		t.Fatal(err)
	}
	service := &f.Signalling[0]
	service.Server, service.TLS, service.CAFile = "198.51.100.1:5224", config.DirectTLS, "/etc/evio/plain.pem"
	begin := func() {
		t.Helper()
		text, err := json.Marshal(f)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.d.StopEvio(scenario.Within(t, 20*time.Second)); err != nil {
			t.Fatal(err)
		}
		if err := r.d.StartEvio(scenario.Within(t, 20*time.Second), testbed.EvioOptions{Config: text}); err != nil {
			t.Fatal(err)
		}
	}
	sees := func() (seen proxySeen) {
		r.plain.ask(t, "GET /seen", nil, &seen)
		return seen
	}
	begin()
	awaitStatus(t, r.d, 3, "the server of "+r.d.Account.JID+" offers PLAIN at best, and has offered SCRAM-SHA-256")
	scenario.Until(t, 20*time.Second, func() error {
		if seen := sees(); seen.Secured < 2 {
			return fmt.Errorf("evio has not tried twice: %+v", seen)
		}
		return nil
	})
	if seen := sees(); seen.Login {
		t.Errorf("it was told something: %+v", seen)
	}
	service.SASL = config.SASLAny
	begin()
	scenario.Until(t, 20*time.Second, func() error {
		if seen := sees(); !seen.Login {
			return fmt.Errorf("no login: %+v", seen)
		}
		return nil
	})
	if err := r.d.StopEvio(scenario.Within(t, 20*time.Second)); err != nil {
		t.Fatal(err)
	}
}

// At the end of its age a list vouches for nobody, on either side, until the server gives it
// again.
func (r *realm) expired(t *testing.T) {
	confirmed := r.confirmed[r.c]
	scenario.AwaitSession(t, time.Second, r.c, open.Name, r.b.Account.JID)
	if left := time.Until(confirmed.Add(listAge)); left < 0 {
		t.Errorf("it is %v too late to see that", -left)
	}
	gone := func() error {
		if n := scenario.OverlayAt(t, r.c, open.Name); len(n.Sessions) > 0 || len(n.Members) > 0 {
			return fmt.Errorf("c has sessions %+v, members %+v", n.Sessions, n.Members)
		}
		for _, s := range []*scenario.Site{r.a, r.b} {
			if session := scenario.SessionWith(t, s, open.Name, r.c.Account.JID); session != nil {
				return fmt.Errorf("%s has the session %+v", s.Name(), session)
			}
		}
		return nil
	}
	scenario.Until(t, listAge+20*time.Second, gone)
	t.Logf("no sessions %v after the list was last confirmed", time.Since(confirmed).Round(10*time.Millisecond))
	if early := time.Until(confirmed.Add(listAge)); early > 0 {
		t.Errorf("sessions ended %v before the list was too old", early)
	}
	awaitStatus(t, r.c, 3, "1m0s is the most (membership_max_age): they have no sessions")
	if err := gone(); err != nil {
		t.Error(err)
	}
	r.reach(t, r.c, true)
	if _, err := r.c.Script(scenario.Within(t, 10*time.Second), "echo >> /etc/hosts"); err != nil { // has the account try at once
		t.Fatal(err)
	}
	for _, s := range []*scenario.Site{r.a, r.b} {
		scenario.AwaitSession(t, 30*time.Second, r.c, open.Name, s.Account.JID)
	}
	silentOn(t, r.c, "membership_max_age")
}

// undisturbedTalk demands that a and b have talked all the time, in one session.
func undisturbedTalk(t *testing.T, r *realm) {
	t.Helper()
	scenario.Unchanged(t, r.a, open.Name, r.b.Account.JID, r.session)
	silence, err := scenario.LongestSilence(r.talk.Ping, r.began)
	if err != nil {
		t.Fatal(err)
	}
	took := time.Duration(silence) * time.Millisecond
	t.Logf("ping %s: silent for at most %v", r.talk.Ends, took)
	if took > hush {
		t.Errorf("that is more than %v", hush)
	}
	if err := r.talk.Ping.Stop(context.WithoutCancel(t.Context()), "TERM"); err != nil {
		t.Error(err)
	}
}
