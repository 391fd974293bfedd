//go:build e2e

package hostile

import (
	"fmt"
	"os"
	"testing"
	"time"

	"evio/driver/status"
	"evio/integration/scenario"
	"evio/plugin/config"
)

// A handshake that somebody sends alerts into goes on and ends well. The router keeps what b sends
// with its certificate back meanwhile, whichever end b is, so that it takes long enough. The alerts
// begin with its first datagram: before that nobody on the wire can know its index, and what has
// another one is dropped (hellos).
func (f *federation) alertWhileConnecting(t *testing.T) {
	const answers = "FORWARD -i lan -p udp -m length --length 400:1500 -m string --algo bm --hex-string '|c0|' --from 28 --to 29 -j DROP"
	ctx := scenario.Within(t, 40*time.Second)
	if _, err := f.b.Router.Script(ctx, "iptables -I "+answers); err != nil {
		t.Fatal(err)
	}
	done := make(chan tampered, 1)
	go func() {
		done <- f.tamper(t, 20*time.Second, "-first", "192", "-do", "alert", "-count", "3", "-times", "5")
	}()
	for _, s := range []*scenario.Site{f.a, f.b} {
		if err := s.Join(ctx, open); err != nil {
			t.Fatal(err)
		}
	}
	sent := <-done
	if _, err := f.b.Router.Script(ctx, "iptables -D "+answers); err != nil {
		t.Fatal(err)
	}
	if sent.Captured < 3 {
		t.Fatalf("%d handshake datagrams were seen, want 3", sent.Captured)
	}
	scenario.AwaitSession(t, 20*time.Second, f.b, open.Name, f.a.Account.JID)
	tag, d := scenario.OfSessions(open.Name, "handshake_tag"), scenario.Document(t, f.b)
	t.Logf("%s: 0 → %d; b is the client: %v", tag.Name, tag.Read(d), scenario.OverlayIn(d, open.Name).Node < scenario.OverlayAt(t, f.a, open.Name).Node)
	if tag.Read(d) < 5 {
		t.Error("no alert came while the session was connecting, or it was not counted")
	}
	pings(t, f.a, f.b)
}

// Copies of records and altered ones deliver nothing.
func (f *federation) records(t *testing.T) {
	ear := scenario.Listen(t, f.b, open.Name)
	before := scenario.AwaitSession(t, time.Second, f.b, open.Name, f.a.Account.JID)
	for _, c := range []struct{ do, counter string }{{"copy", "record_replayed"}, {"flip", "record_forged"}} {
		scenario.Moves(t, f.b, scenario.OfSessions(open.Name, c.counter), 6, func() {
			const count = 40
			done := talk(t, f.a, f.b, "beside-a-"+c.do, count)
			if sent := f.tamper(t, 10*time.Second, "-do", c.do, "-count", "3", "-times", "2", "-least", "600"); len(sent.Sent) != 6 {
				t.Fatalf("sent %d datagrams, want 6", len(sent.Sent))
			}
			<-done
			scenario.Until(t, 5*time.Second, func() error {
				if came := ear.Heard(t, "beside-a-"+c.do); came < count {
					return fmt.Errorf("%d of %d honest datagrams came", came, count)
				}
				return nil
			})
			if came := ear.Heard(t, "beside-a-"+c.do); came > count {
				t.Errorf("%d datagrams came, %d were sent", came, count)
			}
		})
	}
	scenario.Unchanged(t, f.b, open.Name, f.a.Account.JID, before)
}

// A record that somebody kept back and sends from elsewhere counts once, as any record, and the
// path stays where it is.
func (f *federation) recordFromElsewhere(t *testing.T) {
	ear := scenario.Listen(t, f.b, open.Name)
	before := scenario.AwaitSession(t, time.Second, f.b, open.Name, f.a.Account.JID)
	outside := scenario.SessionWith(t, f.a, open.Name, f.b.Account.JID).Path.Remote
	mac, err := f.b.Run(scenario.Within(t, 5*time.Second), "cat", "/sys/class/net/eth0/address")
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := scenario.Counter{Name: "off path", Read: func(d status.Document) (sum uint64) {
		for _, s := range scenario.OverlayIn(d, open.Name).Sessions {
			sum += s.OffPath
		}
		return sum
	}}
	scenario.Moves(t, f.b, elsewhere, 1, func() {
		ctx := scenario.Within(t, 20*time.Second)
		drop, err := f.b.Router.DropBetween(ctx, f.a.Router)
		if err != nil {
			t.Fatal(err)
		}
		done := talk(t, f.a, f.b, "kept-back", 5)
		sent := f.tamper(t, 2*time.Second, "-listen", "wan", "-send", "lan", "-to", outside, "-least", "600", "-times", "2",
			"-as-to", fmt.Sprintf("%s:%d", f.b.Addr(), config.DefaultUDPPort), "-as-from", nobody+":4444", "-mac-dst", mac)
		<-done
		if err := drop.Undo(ctx); err != nil {
			t.Fatal(err)
		}
		if len(sent.Sent) != 2 {
			t.Fatalf("sent %d datagrams, want 2", len(sent.Sent))
		}
	})
	talk(t, f.a, f.b, "after-it", 1)
	ear.Await(t, "after-it")
	came := ear.Heard(t, "kept-back")
	t.Logf("what was kept back came %d times", came)
	if came > 1 {
		t.Error("that is more than once")
	}
	scenario.Unchanged(t, f.b, open.Name, f.a.Account.JID, before)
}

// Alerts in clear do nothing to an established session, even while it changes its keys.
func (f *federation) alerts(t *testing.T) {
	before := scenario.AwaitSession(t, time.Second, f.b, open.Name, f.a.Account.JID)
	scenario.Moves(t, f.b, scenario.OfSessions(open.Name, "handshake_index"), 200, func() {
		done := talk(t, f.a, f.b, "beside-alerts", 240) // 12 s
		if sent := f.tamper(t, 20*time.Second, "-do", "alert", "-least", "600", "-count", "200"); sent.Captured < 200 {
			t.Errorf("%d records were seen", sent.Captured)
		}
		<-done
	})
	scenario.Unchanged(t, f.b, open.Name, f.a.Account.JID, before)
	if after := scenario.SessionWith(t, f.b, open.Name, f.a.Account.JID); after.Rekeys == before.Rekeys {
		t.Error("the keys were not changed meanwhile")
	}
	pings(t, f.a, f.b)
}

// DTLS that was not preceded by parameters is not answered.
func (f *federation) hellos(t *testing.T) {
	c, err := f.b.Router.Capture(scenario.Within(t, 10*time.Second), "lan", "dst host "+nobody)
	if err != nil {
		t.Fatal(err)
	}
	for do, counted := range map[string]scenario.Counter{"hello": scenario.OfTransport("handshake_index"), "bare-hello": scenario.OfTransport("unclassified")} {
		scenario.Moves(t, f.b, counted, 4, func() {
			done := talk(t, f.a, f.b, do, 5)
			f.tamper(t, 5*time.Second, "-do", do, "-count", "2", "-times", "2", "-as-from", nobody+":4444")
			<-done
		})
	}
	file, err := c.Stop(scenario.Within(t, 10*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	const empty = 24 // a capture without a packet
	if info, err := os.Stat(file); err != nil || info.Size() > empty {
		t.Errorf("it was answered: %v, %v", info, err)
	}
}
