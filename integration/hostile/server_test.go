//go:build e2e

package hostile

import (
	"context"
	"encoding/json"
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

// TestHostileServer: whoever runs the XMPP server, stands before it or has a certificate for its
// name puts no engine in the place of another, keeps no removed member in, and gets no password.
// Sites that are left alone keep talking.
func TestHostileServer(t *testing.T) {
	r := newRealm(t)
	t.Run("account removed and added", r.removedAndAdded)
	t.Run("list a quarter of its age old", r.ageing)
	t.Run("over a restart, and a damaged pin", r.restarted)
	t.Run("only PLAIN", r.onlyPlain)
	t.Run("list too old", r.expired)
	undisturbedTalk(t, r)
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

// The age of a list counts on while the plugin restarts. When the server is in reach again, a
// member whose pin was damaged meanwhile is refused until its identity is accepted.
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

// A server with a certificate that d trusts offers PLAIN alone, after the real one has offered
// better: it gets nothing until the operator allows it.
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
