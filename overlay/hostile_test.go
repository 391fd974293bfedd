package overlay

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"evio/overlay/contact"
	"evio/overlay/control"
	"evio/overlay/flood"
)

// envelopeOf signs a first contact to a site.
func envelopeOf(t *testing.T, key ed25519.PrivateKey, to *site, now time.Time) []byte {
	t.Helper()
	b, err := contact.Sign(key, labOverlay, contact.Envelope{
		To: to.id, Attempt: uint64(now.UnixMilli()), Expiry: now.Add(contact.Lifetime), Parameters: []byte("12345678"),
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestGarbageChangesNothingAndIsCounted(t *testing.T) {
	stranger := flood.AppendHeader(nil, flood.Header{})
	flooded := func(header func(from, to *site) flood.Header) func(*site, *site) {
		return func(from, to *site) {
			for _, l := range from.lab.wire.between(from.id, to.id) {
				_ = l.SendFlood([][]byte{append(flood.AppendHeader(nil, header(from, to)), frameOf(hw(1), 1)...)})
			}
		}
	}
	message := func(typ control.Type, payload []byte) func(*site, *site) {
		return func(from, to *site) {
			done := make(chan struct{})
			from.node.After(func() {
				defer close(done)
				from.node.peers[to.id].serving.tell(typ, payload, time.Now())
			})
			<-done
		}
	}
	frames := func(send func(*link, [][]byte) error, all ...[]byte) func(*site, *site) {
		return func(from, to *site) {
			for _, l := range from.lab.wire.between(from.id, to.id) {
				_ = send(l, all)
			}
		}
	}
	for name, c := range map[string]struct {
		do    func(from, to *site)
		cause string
		least uint64
	}{
		"control frames": {frames((*link).SendControl, nil, []byte{1}, bytes.Repeat([]byte{2}, 9000)), "control", 3},
		"acknowledgement of what was not sent": {
			frames((*link).SendControl, append([]byte{2}, bytes.Repeat([]byte{0xff}, 25)...)), "control", 1,
		},
		"flood frames":        {frames((*link).SendFlood, nil, []byte{1, 2, 3}, stranger, slices.Concat(stranger, []byte{1, 2, 3})), "flood", 4},
		"flood of a stranger": {frames((*link).SendFlood, slices.Concat(stranger, frameOf(hw(1), 1))), "flood", 1},
		"flood with an arc that goes all around": {flooded(func(from, to *site) flood.Header {
			return flood.Header{Origin: from.id, ArcEnd: to.id}
		}), "flood-bad-arc", 1},
		"flood of another time": {flooded(func(from, _ *site) flood.Header {
			return flood.Header{Origin: from.id, ArcEnd: from.id}
		}), "flood-time", 1},
		"flood that nobody signed": {flooded(func(from, _ *site) flood.Header {
			return flood.Header{Origin: from.id, ArcEnd: from.id, Time: uint64(time.Now().UnixMilli())}
		}), "flood-forged", 1},
		"flood of another frame than was signed": {flooded(func(from, _ *site) flood.Header {
			h := flood.Header{Origin: from.id, ArcEnd: from.id, Time: uint64(time.Now().UnixMilli())}
			h.Signature = flood.Sign(from.node.cfg.Key, labOverlay, h, frameOf(hw(1), 2))
			return h
		}), "flood-forged", 1},
		"announcement cut short": {message(control.Announce, []byte{0, 9, 1}), "directory-record", 1},
		"empty records":          {message(control.Announce, make([]byte, 8000)), "directory-record", 4000},
		"record of nothing":      {message(control.Announce, append([]byte{0, 200}, make([]byte, 200)...)), "directory-record", 1},
		"ring message":           {message(control.Ring, []byte("nonsense")), "ring", 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t, 3)
				a, b := l.sites[0], l.sites[1]
				b.mustClaim("10.0.0.2", 2)
				l.until("settled", func() bool { return l.settled() && a.sees("10.0.0.2", b) })
				pass(5 * time.Second)
				counted, before := a.drop(c.cause), a.snapshot()
				c.do(b, a)
				pass(time.Second)
				if got := a.drop(c.cause) - counted; got < c.least {
					t.Errorf("%d drops of %q, want at least %d: %v", got, c.cause, c.least, a.status().Drops)
				}
				if after := a.snapshot(); after != before {
					t.Errorf("before %s\nafter  %s", before, after)
				}
				if n := len(a.log.with("announcement refused")); n > 1 {
					t.Errorf("%d log lines for one message", n)
				}
				f := frameOf(hw(2), 7)
				b.node.Flood(f)
				b.mustClaim("10.0.0.9", 9)
				l.until("the session serves on", func() bool { return a.fabric.count(f) == 1 && a.sees("10.0.0.9", b) })
			})
		})
	}
}

// A record that another member signed counts, whoever brings it; one of a stranger
// does not.
func TestAnnouncementOfAStranger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 3)
		a, b, c := l.sites[0], l.sites[1], l.sites[2]
		c.mustClaim("10.0.0.3", 3)
		l.until("seen", func() bool { return a.sees("10.0.0.3", c) })
		l.server.Remove(c.jid)
		l.until("gone", func() bool { return !a.knows("10.0.0.3") && !b.knows("10.0.0.3") })
		records := make(chan [][]byte, 1)
		c.node.After(func() { records <- c.node.directory.Own(time.Now()) })
		stolen := <-records
		b.node.After(func() { b.node.announce(b.node.peers[a.id].serving, stolen, time.Now()) })
		l.until("counted", func() bool { return a.drop("directory-record") == uint64(len(stolen)) })
		if a.knows("10.0.0.3") {
			t.Error("the address of one who is no member is known")
		}
	})
}

func TestRefusedFirstContact(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 2)
		a, b := l.sites[0], l.sites[1]
		full := a.account.Full()
		var old []byte
		l.server.Intercept(func(_, to string, payload []byte) bool {
			if to == full {
				old = bytes.Clone(payload)
			}
			return true
		})
		l.until("connected", l.connected)
		pass(time.Minute) // the replayed one is a minute old
		l.server.Intercept(nil)
		_, mallory, err := ed25519.GenerateKey(nil)
		if err != nil {
			t.Fatal(err)
		}
		broken := envelopeOf(t, b.key, a, time.Now())
		broken[len(broken)-1] ^= 1
		now := time.Now()
		elsewhere, err := contact.Sign(b.key, "red", contact.Envelope{To: a.id, Attempt: 1, Expiry: now})
		if err != nil {
			t.Fatal(err)
		}
		altered := envelopeOf(t, b.key, a, now)
		altered[85] ^= 1 // of the parameters
		posing := envelopeOf(t, mallory, a, now)
		copy(posing[17:], b.id[:])
		before, ever := a.snapshot(), l.wire.openedBy(a.id)
		for _, c := range []struct {
			name, cause string
			envelope    []byte
		}{
			{"another identity than the one pinned", "envelope-identity", envelopeOf(t, mallory, a, now)},
			{"another's node ID", "envelope-identity", posing},
			{"this node's own identity", "envelope-identity", envelopeOf(t, a.key, a, now)},
			{"node ID of another overlay", "envelope-identity", elsewhere},
			{"from the past", "envelope-expired", envelopeOf(t, b.key, a, now.Add(-time.Hour))},
			{"from the future", "envelope-expired", envelopeOf(t, b.key, a, now.Add(time.Hour))},
			{"signature altered", "envelope-signature", broken},
			{"parameters altered", "envelope-signature", altered},
			{"cut short", "envelope-malformed", broken[:150]},
			{"received before", "envelope-replayed", old},
		} {
			counted := a.drop(c.cause)
			l.server.Inject(b.account.Full(), a.account.Full(), c.envelope)
			pass(100 * time.Millisecond)
			if got := a.drop(c.cause) - counted; got != 1 {
				t.Errorf("%s: %d drops of %s: %v", c.name, got, c.cause, a.status().Drops)
			}
		}
		l.server.Inject("mallory@example.net/1", a.account.Full(), envelopeOf(t, mallory, a, now))
		pass(5 * time.Second)
		if after := a.snapshot(); after != before {
			t.Errorf("before %s\nafter  %s", before, after)
		}
		if now := l.wire.openedBy(a.id); now != ever {
			t.Errorf("%d sessions were opened", now-ever)
		}
		if n := len(a.log.with("another identity")); n != 1 {
			t.Errorf("%d lines tell of the other identity", n)
		}
		if n := len(a.log.with("first contact refused")); n != 1 {
			t.Errorf("%d lines within 10 s, want one", n)
		}
	})
}

// The 17th node is left out with one line at each of the others, and gets the
// place of one that goes.
func TestSeventeenthNodeIsOneLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, MaxNodes)
		l.until("connected", l.connected)
		l.server.Befriend(append([]string{jidOf(MaxNodes)}, jids(MaxNodes)...)...)
		late := l.add(MaxNodes)
		pass(time.Minute)
		text := fmt.Sprintf("more than %d nodes", MaxNodes)
		for _, s := range l.sites {
			found := s.log.with(text)
			if len(found) != 1 || (s != late && !strings.Contains(found[0], late.jid)) {
				t.Errorf("%s: %d lines: %q", s.jid, len(found), found)
			}
			if s != late && s.fabric.links() != MaxNodes-1 {
				t.Errorf("%s has %d links", s.jid, s.fabric.links())
			}
		}
		if late.fabric.links() != 0 {
			t.Errorf("the 17th has %d links", late.fabric.links())
		}
		left := l.sites[0]
		l.server.Remove(left.jid)
		l.until("it takes the place", func() bool { return late.fabric.links() == MaxNodes-1 })
	})
}

// A place that is free because a node died goes to a node that was left out, too.
func TestSeventeenthNodeTakesThePlaceOfADeadOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, MaxNodes)
		l.until("connected", l.connected)
		l.server.Befriend(append([]string{jidOf(MaxNodes)}, jids(MaxNodes)...)...)
		late := l.add(MaxNodes)
		pass(time.Minute)
		dead := l.sites[3]
		for _, s := range l.sites {
			l.wire.setCut(s.id, dead.id, true)
		}
		dead.account.Close()
		dead.stop()
		// At the late one the dead one has a place until its last envelopes to it are sent.
		if !l.within(5*time.Minute, func() bool { return late.fabric.links() == MaxNodes-1 }) {
			t.Errorf("%d links", late.fabric.links())
		}
	})
}

// Parameters that a session does not take end it, so that it does not stay for ever,
// and cost no line a second.
func TestUselessParameters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 2)
		a, b := l.sites[0], l.sites[1]
		l.until("connected", l.connected)
		b.stop()
		l.until("the session ends", func() bool { return a.fabric.links() == 0 })
		counts := func() int { return len(a.log.with("of no use")) }
		ever := l.wire.openedBy(a.id)
		for range 60 {
			e, err := contact.Sign(b.key, labOverlay, contact.Envelope{
				To: a.id, Attempt: uint64(time.Now().UnixMilli()), Expiry: time.Now().Add(contact.Lifetime), Parameters: []byte("nonsense!"),
			})
			if err != nil {
				t.Fatal(err)
			}
			l.server.Inject(b.account.Full(), a.account.Full(), e)
			pass(time.Second)
		}
		if got := counts(); got == 0 || got > 7 {
			t.Errorf("%d lines in a minute", got)
		}
		if got := l.wire.openedBy(a.id) - ever; got < 2 {
			t.Errorf("%d sessions opened: a refused one stayed", got)
		}
		pass(30 * time.Second)
		if got := l.wire.open(); got > 1 {
			t.Errorf("%d sessions", got)
		}
		b.start()
		l.until("connected again", l.connected)
	})
}

// late is a session that was established or has ended before it was given newer
// parameters.
type late struct {
	Session
	err    error
	closed bool
}

func (s *late) Connect([]byte, [32]byte) error { return fmt.Errorf("connect session: %w", s.err) }
func (s *late) Close()                         { s.closed = true }

// That a session changes while its peer's parameters come is no fault of the peer's.
func TestParametersForAnEstablishedSession(t *testing.T) { lateParameters(t, ErrEstablished) }
func TestParametersForASessionThatEnds(t *testing.T)     { lateParameters(t, ErrClosed) }

func lateParameters(t *testing.T, answer error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 2)
		a, b := l.sites[0], l.sites[1]
		l.until("connected", l.connected)
		a.on(func() {
			p := &peer{member: a.node.peers[b.id].member, sessions: map[uint64]*peerSession{}, contact: contact.New(contact.Config{
				Key: a.key, Overlay: labOverlay, Peer: b.id, Rand: a.node.rand,
			})}
			now := time.Now()
			number := p.contact.Online(now)[0].(contact.OpenSession).Attempt
			s := &late{err: answer}
			p.sessions[number] = &peerSession{node: a.node, session: s}
			if _, err := p.contact.LocalParameters(number, []byte("ours"), now); err != nil {
				t.Error(err)
			}
			e, body, err := contact.Open(envelopeOf(t, b.key, a, now), labOverlay, a.id, now, nil)
			if err != nil {
				t.Error(err)
			}
			fx := p.contact.Received(e, body, now)
			if _, ok := fx[0].(contact.ConnectSession); !ok {
				t.Errorf("effects %+v", fx)
			}
			a.node.do(p, fx[:1], now)
			if s.closed || len(a.log.with("of no use")) != 0 {
				t.Error("the session was given up, or the peer blamed")
			}
			if errors.Is(answer, ErrClosed) {
				return
			}
			p.contact.Established(number, now)
			if st := p.contact.Status(); st.Remote == e.Attempt {
				t.Error("the contact believes that the session serves the newer attempt")
			}
		})
	})
}

func jids(n int) []string {
	var all []string
	for i := range n {
		all = append(all, jidOf(i))
	}
	return all
}
