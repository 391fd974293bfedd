//go:build e2e

package hostile

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"evio/driver/status"
	"evio/integration/scenario"
	"evio/integration/testbed"
	"evio/plugin/config"
)

// secretOf is the file of an overlay's secret at every site.
const secretOf = "/etc/evio/secret"

// TestSecretRotation: an overlay's secret is replaced at three sites, one after the other,
// while they talk: nothing is lost, and no session is another one after it. A site that has
// the old secret alone is then out, until it has the new one.
func TestSecretRotation(t *testing.T) {
	const before, after = "the secret of yesterday", "the secret of tomorrow"
	o := scenario.Overlay{Name: "secrets", Net: 43}
	lab := testbed.StartSites(t, testbed.Options{}, testbed.SiteConfig{Name: "a"}, testbed.SiteConfig{Name: "b"}, testbed.SiteConfig{Name: "c"})
	d, err := scenario.Prepare(scenario.Within(t, 2*time.Minute), lab, func(_ *scenario.Site, f *config.File) {
		f.Secrets = map[string]string{o.Name: secretOf}
	})
	if err != nil {
		t.Fatal(err)
	}
	write := func(s *scenario.Site, secrets ...string) {
		t.Helper()
		if err := s.WriteFile(scenario.Within(t, 10*time.Second), secretOf, []byte(strings.Join(secrets, "\n")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range d.Sites {
		write(s, before)
		if err := s.StartEvio(scenario.Within(t, 20*time.Second), testbed.EvioOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	scenario.JoinAll(t, d, o)
	old := sessionsOf(t, d, o)

	type stream struct{ sent, received scenario.Job }
	var streams []stream
	for i, s := range d.Sites {
		next := d.Sites[(i+1)%len(d.Sites)]
		received := scenario.Background(t, next, o, "count-recv", "-listen", ":9000", "-idle", "5s")
		scenario.Pause(t, time.Second) // it listens
		streams = append(streams, stream{scenario.Background(t, s, o, "count-send", "-to", o.Addresses(next)[0].String()+":9000", "-rate", "100", "-for", "45s"), received})
	}
	for _, secrets := range [][]string{{after, before}, {after}} {
		for _, s := range d.Sites {
			write(s, secrets...)
			scenario.Pause(t, 6*time.Second) // the next site's turn comes when its operator has time
		}
	}
	for i, s := range streams {
		var source struct {
			Sent uint64 `json:"sent"`
		}
		var sink struct {
			Received   uint64 `json:"received"`
			LongestGap int64  `json:"longest_gap_ms"`
		}
		s.sent.Wait(t, &source)
		s.received.Wait(t, &sink)
		t.Logf("from site %s: sent %d, received %d, longest gap %d ms", d.Sites[i].Name(), source.Sent, sink.Received, sink.LongestGap)
		if sink.Received != source.Sent {
			t.Errorf("from site %s: %d of %d datagrams are missing", d.Sites[i].Name(), source.Sent-sink.Received, source.Sent)
		}
	}
	for key, is := range sessionsOf(t, d, o) {
		was := old[key]
		if !is.Established.Equal(was.Established) || is.Opened != was.Opened {
			t.Errorf("%s: the session was replaced: established %v, before %v", key, is.Established, was.Established)
		}
		if is.Rekeys == was.Rekeys {
			t.Errorf("%s: its keys still come from the old secret", key)
		}
	}

	t.Run("the old secret alone is of no use", func(t *testing.T) {
		c := d.Sites[2]
		write(c, before)
		await := func(what string, sessions map[string]int) {
			t.Helper()
			began := time.Now()
			err := scenario.Await(scenario.Within(t, 90*time.Second), func() error {
				for _, s := range d.Sites {
					n, err := s.NetworkStatus(t.Context(), o.Name)
					if err != nil {
						return err
					}
					if up := scenario.Established(n); up != sessions[s.Name()] {
						return fmt.Errorf("site %s has %d sessions, want %d", s.Name(), up, sessions[s.Name()])
					}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%s after %v", what, time.Since(began).Round(time.Millisecond))
		}
		await("c is out", map[string]int{"a": 1, "b": 1, "c": 0})
		for _, s := range d.Sites {
			other := c.Account.JID
			if s == c {
				other = d.Sites[0].Account.JID
			}
			want := other + " has not proved the overlay's secret"
			err := scenario.Await(scenario.Within(t, 60*time.Second), func() error {
				doc, err := s.Status(t.Context())
				if err == nil && !slices.ContainsFunc(doc.Faults, func(f string) bool { return strings.Contains(f, want) }) {
					err = fmt.Errorf("site %s: faults %q, want one with %q", s.Name(), doc.Faults, want)
				}
				return err
			})
			if err != nil {
				t.Error(err)
			}
		}
		write(c, after)
		await("c is back", map[string]int{"a": 2, "b": 2, "c": 2})
		for _, s := range d.Sites {
			if doc := scenario.Document(t, s); slices.ContainsFunc(doc.Faults, func(f string) bool { return strings.Contains(f, "secret") }) {
				t.Errorf("site %s: faults %q", s.Name(), doc.Faults)
			}
		}
	})
}

// sessionsOf returns all sessions of an overlay, by both ends.
func sessionsOf(t *testing.T, d *scenario.Deployment, o scenario.Overlay) map[string]status.Session {
	t.Helper()
	all := map[string]status.Session{}
	for _, s := range d.Sites {
		n, err := s.NetworkStatus(scenario.Within(t, 10*time.Second), o.Name)
		if err != nil {
			t.Fatal(err)
		}
		for _, session := range n.Sessions {
			all[s.Name()+" with "+session.JID] = session
		}
	}
	if want := len(d.Sites) * (len(d.Sites) - 1); len(all) != want {
		t.Fatalf("%d sessions, want %d", len(all), want)
	}
	return all
}
