package signal

import (
	"crypto/tls"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// shelf keeps an offer in memory.
type shelf struct {
	best         Offer
	unread, full error
}

func (s *shelf) Best() (Offer, error) {
	if s.unread != nil {
		return Offer{}, s.unread
	}
	return s.best, nil
}

func (s *shelf) Keep(o Offer) error {
	if s.full == nil {
		s.best, s.unread = o, nil
	}
	return s.full
}

// offering logs the client in if it goes on, and tells by which mechanism; "" if it does not.
func offering(took chan<- string, names ...string) func(*peer) {
	return func(p *peer) {
		if !p.secureTo(names...) {
			took <- "no TLS"
			return
		}
		auth, ok := p.read()
		took <- auth.attr("mechanism")
		if !ok || auth.attr("mechanism") != plain {
			return
		}
		p.success("")
		if full, ok := p.bind(); ok {
			get := p.want("iq")
			p.send("<iq type='result' id='%s' to='%s'><query xmlns='jabber:iq:roster'/></iq>", get.attr("id"), full)
			p.drain()
		}
	}
}

// TestServerThatOffersLess: what a server has once offered it must go on offering, to another
// process too. Nothing is sent to one that does not, and the error says what to do.
func TestServerThatOffersLess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kept := &shelf{}
		took := make(chan string, 1)
		again := make(chan struct{})
		s := newScene(t,
			serve(func(_ *peer, _ string) { <-again }),
			offering(took, plain),
			offering(took, plain, "SCRAM-SHA-1"),
			serve(func(p *peer, _ string) { p.drain() }))
		s.cfg.Offers = kept
		s.start()
		s.expectLogin()
		if want := (Offer{Password: "SCRAM-SHA-256"}); kept.best != want {
			t.Fatalf("kept %+v, want %+v", kept.best, want)
		}
		close(again)
		s.expect("down")
		for _, offer := range []string{plain, "SCRAM-SHA-1"} {
			if got := <-took; got != "" {
				t.Fatalf("the client logs in by %q", got)
			}
			synctest.Wait()
			want := "the server of alice@evio.test offers " + offer + " at best, and has offered SCRAM-SHA-256 before, so nothing was sent to it: find out whether somebody stands between"
			if got := s.client.Faults(); len(got) != 1 || !strings.HasPrefix(got[0], want) || s.client.Status().LastError != got[0] {
				t.Errorf("faults %q, last error %q", got, s.client.Status().LastError)
			}
		}
		s.expectLogin()
		if got := s.client.Faults(); len(got) != 0 {
			t.Errorf("faults %q", got)
		}
		s.end()

		for _, c := range []struct {
			name   string
			policy SASL
			unread error
			want   string // mechanism, or what the fault says
		}{
			{"after a restart", BestSASL, nil, "has offered SCRAM-SHA-256 before"},
			{"what was kept is damaged", BestSASL, errors.New("logins/1 is damaged"), "what it offered before cannot be read (logins/1 is damaged)"},
			{"the operator takes anything", AnySASL, nil, plain},
			{"and then that is the best", BestSASL, nil, plain},
			{"never the password", ScramSASL, nil, `"sasl" is "scram"`},
		} {
			kept.unread = c.unread
			s := newScene(t, offering(took, plain))
			s.cfg.Offers, s.cfg.SASL = kept, c.policy
			s.start()
			got := <-took
			synctest.Wait()
			faults := strings.Join(s.client.Faults(), "; ")
			if c.want == plain && (got != plain || faults != "") || c.want != plain && (got != "" || !strings.Contains(faults, c.want)) {
				t.Errorf("%s: by %q, faults %q", c.name, got, faults)
			}
			s.end()
			kept.unread = nil
		}
	})
}

// TestOfferThatIsNotKept: a login goes on without a disk, and the fault says what that costs
// until the disk takes it.
func TestOfferThatIsNotKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kept := &shelf{full: errors.New("no space left")}
		again := make(chan struct{})
		s := newScene(t, serve(func(_ *peer, _ string) { <-again }), serve(func(p *peer, _ string) { p.drain() }))
		s.cfg.Offers = kept
		s.start()
		s.expectLogin()
		if got := s.client.Faults(); len(got) != 1 || !strings.HasSuffix(got[0], "after a restart it may offer less: no space left") {
			t.Errorf("faults %q", got)
		}
		kept.full = nil
		close(again)
		s.expect("down")
		s.expectLogin()
		if got := s.client.Faults(); len(got) != 0 || kept.best.Password != "SCRAM-SHA-256" {
			t.Errorf("faults %q, kept %+v", got, kept.best)
		}
		s.end()
	})
}

// TestOfferThatCannotBeRead: what cannot be read is not replaced by what the server offers
// meanwhile, and counts again when it can; the fault stands until then. Where the operator has
// removed it, the next login is kept.
func TestOfferThatCannotBeRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		better := Offer{Password: "SCRAM-SHA-256-PLUS"}
		kept := &shelf{best: better, unread: errors.New("logins/1.json: its checksum is wrong")}
		took := make(chan string, 1)
		again := make(chan struct{})
		s := newScene(t,
			serve(func(_ *peer, _ string) { <-again }),
			offering(took, "SCRAM-SHA-256"),
			serve(func(p *peer, _ string) { p.drain() }))
		s.cfg.Offers = kept
		s.start()
		s.expectLogin()
		want := "remove the file, so that the next login counts as the first, and disable and enable the plugin: logins/1.json: its checksum is wrong"
		if got := s.client.Faults(); len(got) != 1 || !strings.HasSuffix(got[0], want) {
			t.Errorf("faults %q", got)
		}
		if kept.best != better || kept.unread == nil {
			t.Errorf("replaced by %+v", kept.best)
		}
		kept.unread = nil
		close(again)
		s.expect("down")
		if got := <-took; got != "" {
			t.Errorf("the client logs in by %q", got)
		}
		synctest.Wait()
		if got := s.client.Status().LastError; !strings.Contains(got, "has offered SCRAM-SHA-256-PLUS before") {
			t.Errorf("last error %q", got)
		}
		kept.best = Offer{}
		s.expectLogin()
		if got := s.client.Faults(); len(got) != 0 || kept.best.Password != "SCRAM-SHA-256" {
			t.Errorf("faults %q, kept %+v", got, kept.best)
		}
		s.end()
	})
}

// TestNoWeakerMechanism: of all that a server can offer, only an operator's word lets an
// account fall back.
func TestNoWeakerMechanism(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := append([]string{external, "X-OTHER"}, byStrength...)
		f := features{Mechanisms: rapid.SliceOf(rapid.SampledFrom(all)).Draw(t, "offered")}
		before := Offer{Password: rapid.SampledFrom(append([]string{""}, byStrength...)).Draw(t, "before"), Certificate: rapid.Bool().Draw(t, "certificate before")}
		with := credentials{jid: testJID, user: "alice", password: testPassword}
		if rapid.Bool().Draw(t, "certificate") {
			with.certificate = &tls.Certificate{}
		}
		policy := rapid.SampledFrom([]SASL{BestSASL, ScramSASL, AnySASL}).Draw(t, "policy")
		m, err := chooseMechanism(f, with, &tls.ConnectionState{})
		if err != nil {
			return
		}
		err = policy.permit(m.name, with, before, nil)
		weaker := m.name != external && (strength(m.name) < strength(before.Password) || before.Certificate && with.certificate != nil)
		if want := weaker && policy != AnySASL || m.name == plain && policy == ScramSASL; (err != nil) != want {
			t.Fatalf("%s after %+v under policy %d: %v", m.name, before, policy, err)
		}
		next := before.with(offerOf(f, m.name))
		if strength(next.Password) < strength(before.Password) || before.Certificate && !next.Certificate {
			t.Fatalf("%+v after %+v", next, before)
		}
	})
}

// TestRosterIsFetchedAgain: while a session stands the whole roster comes each Refresh, from
// our own account alone, and a server that declines has confirmed nothing.
func TestRosterIsFetchedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const refresh = 10 * time.Second
		asked := make(chan time.Time, 8)
		s := newScene(t, serve(func(p *peer, full string) {
			for round := 0; ; {
				iq, ok := p.read()
				switch {
				case !ok:
					return
				case strings.Contains(iq.Inner, nsPing):
					p.send("<iq type='result' id='%s' from='%s'/>", iq.attr("id"), testDomain)
				case strings.Contains(iq.Inner, "jabber:iq:roster"):
					round++
					asked <- time.Now()
					id, list := iq.attr("id"), "<query xmlns='jabber:iq:roster'><item jid='carol@evio.test' subscription='both'/></query>"
					switch round {
					case 1:
						p.send("<iq type='error' id='%s' to='%s'><error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>", id, full)
					case 2:
						p.send("<iq type='result' id='%s' to='%s'/>", id, full)
					case 3:
						p.send("<iq type='result' id='%s' from='bob@evio.test/1'>%s</iq>", id, list)
					default:
						p.send("<iq type='result' id='%s' to='%s'>%s</iq>", id, full, list)
						p.drain()
						return
					}
				}
			}
		}))
		s.cfg.Refresh = refresh
		s.start()
		s.expectLogin()
		began := time.Now()
		s.expect("roster carol@evio.test:both[]")
		for i := range 4 {
			if got := (<-asked).Sub(began); got != time.Duration(i+1)*refresh {
				t.Errorf("request %d after %v", i+1, got)
			}
		}
		if got := s.client.Status().Ignored; got[ignoredReply] != 1 || len(got) != 1 {
			t.Errorf("ignored %v", got)
		}
		s.end()
	})
}
