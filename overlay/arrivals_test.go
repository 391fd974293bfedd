package overlay

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"testing"
	"testing/synctest"
	"time"

	"evio/overlay/contact"
	"evio/overlay/identity"
	"evio/overlay/member"
	"evio/overlay/nodeid"
)

func identityOf(n byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, ed25519.SeedSize))
}

// forger makes envelopes in another's name: right in all that is not signed, and each a new
// attempt.
type forger struct {
	envelope []byte
	attempt  uint64
}

func newForger(t testing.TB, as, to *site, now time.Time) *forger {
	t.Helper()
	b, err := contact.Sign(as.key, labOverlay, contact.Envelope{
		To: to.id, Attempt: uint64(now.UnixMilli()), Expiry: now.Add(contact.Lifetime), Parameters: bytes.Repeat([]byte{1}, 400),
	})
	if err != nil {
		t.Fatal(err)
	}
	return &forger{b, uint64(now.UnixMilli())}
}

func (f *forger) next() []byte {
	f.attempt++
	b := bytes.Clone(f.envelope)
	binary.BigEndian.PutUint64(b[33:], f.attempt) // the place of the attempt in docs/PROTOCOL.md
	return b
}

// TestForgedEnvelopes: a server forges 10,000 envelopes a second in the name of one member.
// Each is counted, few of them have their signature looked at, sessions go on, and another
// member that comes meanwhile meets all as fast as ever.
func TestForgedEnvelopes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 2)
		l.until("connected", l.connected)
		a, b := l.sites[0], l.sites[1]
		before, opened := a.snapshot(), l.wire.openedBy(a.id)
		const perTick, tick, ticks = 100, 10 * time.Millisecond, 500
		f := newForger(t, b, a, time.Now())
		forge := func(n int) {
			for range n {
				for range perTick {
					l.server.Inject(b.account.Full(), a.account.Full(), f.next())
				}
				pass(tick)
			}
		}
		forge(ticks / 2)
		if after := a.snapshot(); after != before {
			t.Errorf("before %s\nafter  %s", before, after)
		}
		if now := l.wire.openedBy(a.id); now != opened {
			t.Errorf("%d sessions were opened", now-opened)
		}
		l.server.Befriend(jidOf(0), jidOf(1), jidOf(2))
		c := l.add(2)
		for i := 0; i < ticks/2; i += 10 {
			forge(10)
		}
		if !l.share(a, c) || !l.share(b, c) {
			t.Error("one who came during the forging has no sessions")
		}
		l.until("all was looked at", func() bool {
			return a.drop("envelope-limit")+a.drop("envelope-signature")+a.drop("node-queue-full") == perTick*ticks
		})
		checked := a.drop("envelope-signature")
		if most := uint64(arrivalBurst + arrivalRate*(tick*ticks/time.Second) + 1); checked > most || checked == 0 {
			t.Errorf("%d signatures were checked, want %d at most", checked, most)
		}
		if lost := a.drop("node-queue-full"); lost != 0 {
			t.Errorf("%d envelopes found no room", lost)
		}
		if n := len(a.log.with("more of them come in this account's name")); n != 1 {
			t.Errorf("%d lines tell of it", n)
		}
	})
}

// TestCheapChecksComeFirst: what can be decided without the signature is decided without it.
// Each of these envelopes has a wrong one.
func TestCheapChecksComeFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 2)
		a, b := l.sites[0], l.sites[1]
		var old []byte
		full := a.account.Full()
		l.server.Intercept(func(_, to string, payload []byte) bool {
			if to == full {
				old = bytes.Clone(payload)
			}
			return true
		})
		l.until("connected", l.connected)
		l.server.Intercept(nil)
		now := time.Now()
		mallory := &site{key: identityOf(7)}
		for cause, envelope := range map[string][]byte{
			"envelope-replayed":  old,
			"envelope-identity":  newForger(t, mallory, a, now).next(),
			"envelope-malformed": append(newForger(t, b, a, now).next(), 0),
		} {
			envelope = bytes.Clone(envelope)
			envelope[len(envelope)-2] ^= 1
			counted := a.drop(cause)
			l.server.Inject(b.account.Full(), a.account.Full(), envelope)
			pass(100 * time.Millisecond)
			if got := a.drop(cause) - counted; got != 1 {
				t.Errorf("%d drops of %s: %v", got, cause, a.status().Drops)
			}
		}
		if got := a.drop("envelope-signature"); got != 0 {
			t.Errorf("%d signatures were looked at", got)
		}
	})
}

func TestArrivals(t *testing.T) {
	var a arrivals
	now := time.Unix(1e9, 0)
	one, other := nodeid.ID{1}, nodeid.ID{2}
	taken := 0
	for range 10 * arrivalBurst {
		if a.allow(one, now) {
			taken++
		}
	}
	if taken != arrivalBurst || !a.allow(other, now) {
		t.Errorf("%d at once, want %d; another account is held up: %v", taken, arrivalBurst, !a.allow(other, now))
	}
	a.keep(map[nodeid.ID]member.Member{other: {}})
	if len(a.of) != 1 {
		t.Errorf("%d accounts are known, want the member alone", len(a.of))
	}
}

// BenchmarkForgedEnvelope is what one of many forged envelopes costs the engine, from where
// the signalling service hands it over; beside it, what its signature would cost.
func BenchmarkForgedEnvelope(b *testing.B) {
	self, as := &site{key: identityOf(1)}, &site{key: identityOf(2)}
	for _, s := range []*site{self, as} {
		s.id = nodeid.FromKey(identity.Public(s.key), labOverlay)
	}
	n := still(b, &toldFabric{})
	m := member.Member{Node: as.id, Key: identity.Public(as.key), JID: "b@example.net"}
	f := newForger(b, as, self, time.Now())
	b.Run("beyond the budget", func(b *testing.B) {
		for b.Loop() {
			n.message(m, f.envelope)
		}
	})
	b.Run("signature", func(b *testing.B) {
		for b.Loop() {
			if _, _, err := contact.Open(f.envelope, labOverlay, self.id, time.Now(), nil); err != nil {
				b.Fatal(err)
			}
		}
	})
}
