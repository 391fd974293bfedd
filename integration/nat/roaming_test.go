//go:build e2e

package nat

import (
	"slices"
	"strings"
	"testing"
	"time"

	"evio/driver/status"
	"evio/integration/scenario"
	"evio/integration/testbed"
	"evio/plugin/config"
)

// The times within which containers talk again, from the moment at which there is
// a path.
const (
	recovery       = 10 * time.Second
	secondRecovery = 4 * time.Second // where there was a second path all the time
)

// TestRoaming: what happens to the paths between two sites. Site a has one uplink,
// site b two, all behind port-restricted NATs; one TCP connection lives through it
// all.
func TestRoaming(t *testing.T) {
	d := scenario.StartStandalone(t, nil, testbed.SiteConfig{Name: "a"}, testbed.SiteConfig{Name: "b", Uplinks: 2})
	o := scenario.Overlay{Name: "roaming", Net: 40}
	scenario.JoinAll(t, d, o)
	a, b := d.Sites[0], d.Sites[1]
	to := o.Addresses(b)[0].String()

	scenario.Serve(t, b, o, "tcp-echo", "-listen", ":7")
	talk := scenario.Background(t, a, o, "tcp-dialogue", "-to", to+":7", "-for", "10m", "-patience", "60s")
	scenario.GoesOn(t, talk)

	t.Run("packets dropped for 10 s", func(t *testing.T) {
		drops := []*testbed.Drop{dropBetween(t, a.Router, b.Routers[0]), dropBetween(t, a.Router, b.Routers[1])}
		scenario.Pause(t, 5*time.Second)
		if out, err := a.InNamespace(scenario.Within(t, 10*time.Second), o.Name, "ping", "-c", "1", "-W", "2", to); err == nil {
			t.Errorf("a ping is answered while all is dropped: %s", out)
		}
		scenario.Pause(t, 3*time.Second)
		var swallowed uint64
		for _, drop := range drops {
			out, in, err := drop.Packets(scenario.Within(t, 10*time.Second))
			if err != nil {
				t.Fatal(err)
			}
			swallowed += out + in
			if err := drop.Undo(scenario.Within(t, 10*time.Second)); err != nil {
				t.Fatal(err)
			}
		}
		if swallowed == 0 {
			t.Error("nothing was dropped")
		}
		talkAgain(t, a, o, to, recovery)
		scenario.GoesOn(t, talk)
	})
	// seenFrom is where b sends to.
	seenFrom := func() string { return session(t, b, o).Path.Remote }
	t.Run("other NAT ports", func(t *testing.T) {
		before := seenFrom()
		if err := a.Router.RemapPorts(scenario.Within(t, 10*time.Second), config.DefaultUDPPort); err != nil {
			t.Fatal(err)
		}
		talkAgain(t, a, o, to, recovery)
		scenario.GoesOn(t, talk)
		if after := seenFrom(); after == before {
			t.Errorf("b sends to %s, as before: the port has not changed", after)
		}
	})
	t.Run("another address of a site", func(t *testing.T) {
		before := seenFrom()
		if err := a.Router.Renumber(scenario.Within(t, 10*time.Second)); err != nil {
			t.Fatal(err)
		}
		talkAgain(t, a, o, to, recovery)
		scenario.GoesOn(t, talk)
		if after := seenFrom(); after == before {
			t.Errorf("b sends to %s, as before: the address has not changed", after)
		}
	})
	t.Run("one of two uplinks cut", func(t *testing.T) {
		for range b.Routers {
			before := session(t, a, o)
			uplink := slices.IndexFunc(b.Routers, func(r *testbed.Router) bool {
				return strings.HasPrefix(before.Path.Remote, r.Outside().String()+":")
			})
			if uplink < 0 {
				t.Fatalf("the path leads to no uplink of b: %+v", before.Path)
			}
			if err := b.Routers[uplink].Unplug(scenario.Within(t, 10*time.Second)); err != nil {
				t.Fatal(err)
			}
			talkAgain(t, a, o, to, secondRecovery)
			scenario.GoesOn(t, talk)
			if err := b.Routers[uplink].Plug(scenario.Within(t, 10*time.Second)); err != nil {
				t.Fatal(err)
			}
			scenario.Pause(t, 3*time.Second) // the NAT and the peer learn of it
			after := session(t, a, o)
			if !after.Established.Equal(before.Established) {
				t.Errorf("uplink %d: the session was replaced where it had a second path", uplink+1)
			}
			if after.Moves == before.Moves {
				t.Errorf("uplink %d: the path has not moved: %+v", uplink+1, after.Path)
			}
		}
	})

	if err := talk.Signal(scenario.Within(t, 10*time.Second), "TERM"); err != nil {
		t.Fatal(err)
	}
	var result scenario.Conversation
	talk.Wait(t, &result)
	t.Logf("one TCP connection through all of it: %d answers, longest stall %d ms", result.Answers, result.LongestStall)
}

// TestRekey: keys that are replaced every 20 s, under a TCP connection and 1,000
// datagrams a second, on a path that is cut and moved meanwhile, lose nothing that
// the cut path did not swallow.
func TestRekey(t *testing.T) {
	const rekey = 20 * time.Second
	d := scenario.StartStandalone(t, func(_ *scenario.Site, f *config.File) { f.RekeySeconds = int(rekey / time.Second) },
		testbed.SiteConfig{Name: "a"}, testbed.SiteConfig{Name: "b", Uplinks: 2})
	o := scenario.Overlay{Name: "rekey", Net: 41}
	scenario.JoinAll(t, d, o)
	a, b := d.Sites[0], d.Sites[1]
	to := o.Addresses(b)[0].String()
	before := session(t, a, o)

	// What the path swallows, and nothing else, may be missing.
	const datagram = 14 + 20 + 8 + 200 // an Ethernet frame of count-send
	var meters []*testbed.Meter
	for _, r := range b.Routers {
		m, err := r.Meter(scenario.Within(t, 10*time.Second), 20+8+29+2+datagram) // docs/PROTOCOL.md, MTU
		if err != nil {
			t.Fatal(err)
		}
		meters = append(meters, m)
	}

	scenario.Serve(t, b, o, "tcp-echo", "-listen", ":7")
	received := scenario.Background(t, b, o, "count-recv", "-listen", ":9000", "-idle", "5s")
	scenario.Pause(t, time.Second) // it listens
	dialogue := scenario.Background(t, a, o, "tcp-dialogue", "-to", to+":7", "-for", "72s", "-patience", "30s")
	sent := scenario.Background(t, a, o, "count-send", "-to", to+":9000", "-rate", "1000", "-for", "72s")

	var during uint64                       // rekeys while an uplink was cut
	for _, uplink := range []int{0, 1, 0} { // the first serves, then the other, then the first again
		scenario.Pause(t, max(5*time.Second, time.Until(keysOf(session(t, a, o)).Add(rekey-4*time.Second))))
		keys := session(t, a, o).Rekeys
		drop, err := b.Routers[uplink].DropAll(scenario.Within(t, 10*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		scenario.Pause(t, 8*time.Second)
		if err := drop.Undo(scenario.Within(t, 10*time.Second)); err != nil {
			t.Fatal(err)
		}
		renewed := session(t, a, o).Rekeys - keys
		t.Logf("uplink %d cut: %d rekeys meanwhile", uplink+1, renewed)
		during += renewed
	}
	if during == 0 {
		t.Error("no keys were replaced while an uplink was cut")
	}

	var talk scenario.Conversation
	dialogue.Wait(t, &talk)
	var source struct {
		Sent    uint64 `json:"sent"`
		Refused uint64 `json:"refused"`
	}
	sent.Wait(t, &source)
	var sink struct {
		Received   uint64 `json:"received"`
		Duplicates uint64 `json:"duplicates"`
		LongestGap int64  `json:"longest_gap_ms"`
	}
	received.Wait(t, &sink)
	after := session(t, a, o)
	t.Logf("sent %d, received %d, longest gap %d ms; TCP: %d answers, longest stall %d ms; %d rekeys, %d moves",
		source.Sent, sink.Received, sink.LongestGap, talk.Answers, talk.LongestStall, after.Rekeys-before.Rekeys, after.Moves-before.Moves)
	var came, lost uint64
	for i, m := range meters {
		in, on, err := m.Packets(scenario.Within(t, 10*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("uplink %d: %d datagrams came, %d went on", i+1, in, on)
		came, lost = came+in, lost+in-on
	}
	if came < source.Sent-source.Sent/100 || came > source.Sent+source.Sent/100 {
		t.Errorf("%d datagrams were sent, and %d packets of their length came to the routers", source.Sent, came)
	}
	if missing := source.Sent - sink.Received; missing > lost {
		t.Errorf("%d datagrams are missing and the path swallowed %d", missing, lost)
	}
	if sink.Duplicates != 0 {
		t.Errorf("%d datagrams came twice", sink.Duplicates)
	}
	if !after.Established.Equal(before.Established) {
		t.Error("the session was replaced, want the same one with other keys")
	}
	if after.Rekeys-before.Rekeys < 3 {
		t.Errorf("%d rekeys in 72 s, want at least 3", after.Rekeys-before.Rekeys)
	}
	if after.Moves == before.Moves {
		t.Error("the path has not moved: the test has cut the wrong uplink")
	}
}

// keysOf is when a session has got its present keys.
func keysOf(s status.Session) time.Time {
	if s.Rekeyed.IsZero() {
		return s.Established
	}
	return s.Rekeyed
}

// talkAgain waits until a ping is answered, and checks how long that took.
func talkAgain(t *testing.T, s *scenario.Site, o scenario.Overlay, to string, limit time.Duration) {
	t.Helper()
	began := time.Now()
	err := scenario.Await(scenario.Within(t, limit+20*time.Second), func() error {
		_, err := s.InNamespace(scenario.Within(t, 5*time.Second), o.Name, "ping", "-c", "1", "-W", "0.3", to)
		return err
	})
	took := time.Since(began).Round(time.Millisecond)
	if err != nil {
		t.Fatalf("no answer within %v: %v", took, err)
	}
	t.Logf("first answer after %v", took)
	if took > limit {
		t.Errorf("first answer after %v, want at most %v", took, limit)
	}
}

// session is the site's one session in the overlay.
func session(t *testing.T, s *scenario.Site, o scenario.Overlay) status.Session {
	t.Helper()
	n, err := s.NetworkStatus(scenario.Within(t, 10*time.Second), o.Name)
	if err != nil {
		t.Fatal(err)
	}
	for _, found := range n.Sessions {
		if found.State == "established" {
			return found
		}
	}
	t.Fatalf("site %s: no session serves in %s", s.Name(), o.Name)
	return status.Session{}
}

func dropBetween(t *testing.T, from, to *testbed.Router) *testbed.Drop {
	t.Helper()
	drop, err := from.DropBetween(scenario.Within(t, 10*time.Second), to)
	if err != nil {
		t.Fatal(err)
	}
	return drop
}
