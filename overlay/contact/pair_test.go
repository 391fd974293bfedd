package contact_test

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"evio/overlay/contact"
	"evio/overlay/nodeid"
)

// The world of the property test: two engines, each with a Contact for the other
// and with sessions that behave as real ones do, between them a carrier that
// loses, repeats and reorders envelopes, and a path that can break.
const (
	step       = 100 * time.Millisecond
	faultsEnd  = 2 * time.Minute
	worldEnd   = faultsEnd + 6*time.Minute
	timeOut    = 15 * time.Second // of a session, after its last Connect
	deathAfter = 3 * time.Second  // without a sign of life of the other end
)

var errTest = errors.New("session ended")

type world struct {
	rt      *rapid.T
	rng     *rand.Rand
	now     time.Time
	faulty  bool // handshakes may fail, goodbyes may be lost, for as long as faults happen
	calm    bool // nothing is lost or slow
	cut     time.Time
	set     bool // a clock was set: what was signed before may be refused
	hosts   [2]*host
	flying  []inFlight
	sent    int // envelopes and attempts since the last fault
	opened  int
	lastAct time.Time // of the last envelope
}

type host struct {
	key      ed25519.PrivateKey
	self     nodeid.ID
	peer     nodeid.ID
	skew     time.Duration // of its clock
	wrong    time.Duration // how far the time in its envelopes is from that
	c        *contact.Contact
	online   bool
	sessions map[uint64]*session
}

type session struct {
	ready       time.Time // parameters gathered
	gathered    bool
	further     []time.Time // when others are found
	binding     [32]byte
	connected   time.Time
	handshake   time.Time // when the handshake under way will be complete; zero: none
	established bool
	events      []event   // on their way to the contact
	alive       time.Time // last sign of the other end
}

// event is what a session has said: its parameters or, without any, Established.
type event struct {
	at         time.Time
	parameters []byte
}

type inFlight struct {
	to int
	at time.Time
	b  []byte
}

type fault struct {
	at   time.Duration
	kind int
	host int
}

func newWorld(rt *rapid.T, seed uint64) *world {
	w := &world{rt: rt, rng: rand.New(rand.NewPCG(seed, 0)), now: epoch, faulty: true}
	for i := range w.hosts {
		w.hosts[i] = &host{
			key: key(byte(i + 1)), self: id(byte(i + 1)), peer: id(byte(2 - i)),
			skew: time.Duration(w.rng.Int64N(int64(4*time.Minute))) - 2*time.Minute,
		}
		w.restart(i)
	}
	return w
}

func (w *world) restart(i int) {
	h := w.hosts[i]
	h.sessions = map[uint64]*session{}
	h.c = contact.New(contact.Config{
		Key: h.key, Overlay: overlay, Peer: h.peer, Rand: w.rng,
		Wall: func(now time.Time) time.Time { return now.Add(h.wrong) },
	})
	h.online = true
	w.do(i, h.c.Online(h.clock(w)))
}

func (h *host) clock(w *world) time.Time { return w.now.Add(h.skew) }

func (w *world) do(i int, fx []contact.Effect) {
	h := w.hosts[i]
	for _, e := range fx {
		switch e := e.(type) {
		case contact.OpenSession:
			w.opened++
			s := &session{ready: w.now.Add(w.random(2 * time.Second))}
			further := w.rng.IntN(4)
			if w.calm {
				further = 0
			}
			for range further {
				s.further = append(s.further, s.ready.Add(w.random(6*time.Second)))
			}
			h.sessions[e.Attempt] = s
		case contact.ConnectSession:
			s := h.sessions[e.Attempt]
			if s == nil || !s.gathered {
				w.rt.Fatalf("connect of an attempt without parameters")
			}
			if s.established {
				h.c.Unconnected(e.Attempt)
				continue
			}
			s.binding, s.connected, s.handshake = e.Binding, w.now, time.Time{}
		case contact.SendEnvelope:
			w.sent++
			w.lastAct = w.now
			if w.calm {
				w.flying = append(w.flying, inFlight{to: 1 - i, at: w.now, b: e.Envelope})
				continue
			}
			for w.rng.IntN(10) >= 3 { // 30 % are lost, half of the others come again
				w.flying = append(w.flying, inFlight{to: 1 - i, at: w.now.Add(w.random(4 * time.Second)), b: e.Envelope})
			}
		case contact.CloseSession:
			if h.sessions[e.Attempt] == nil {
				w.rt.Fatalf("close of an attempt that is not open")
			}
			w.end(i, e.Attempt)
		}
	}
}

// end removes a session and says goodbye to the other end.
func (w *world) end(i int, n uint64) {
	s := w.hosts[i].sessions[n]
	delete(w.hosts[i].sessions, n)
	if m, other := w.match(i, s); other != nil && other.established && w.path() && !w.chance(3) {
		delete(w.hosts[1-i].sessions, m)
		w.closed(1-i, m)
	}
}

func (w *world) closed(i int, n uint64) {
	w.do(i, w.hosts[i].c.Closed(n, errTest, w.hosts[i].clock(w)))
}

// match finds the other end of a session: the one with the same binding.
func (w *world) match(i int, s *session) (uint64, *session) {
	if s.connected.IsZero() {
		return 0, nil
	}
	for n, o := range w.hosts[1-i].sessions {
		if !o.connected.IsZero() && o.binding == s.binding {
			return n, o
		}
	}
	return 0, nil
}

func (w *world) path() bool { return w.now.After(w.cut) }

// chance is one in n, as long as faults happen.
func (w *world) chance(n int) bool { return w.faulty && w.rng.IntN(n) == 0 }

func (w *world) random(d time.Duration) time.Duration {
	if w.calm {
		d /= 10
	}
	return time.Duration(w.rng.Int64N(int64(d)))
}

// setClock sets what host 0 tells the other of the time.
func (w *world) setClock(wrong time.Duration) {
	h := w.hosts[0]
	h.wrong, w.set = wrong, true
	w.do(0, h.c.ClockSet(h.clock(w)))
}

func (w *world) advance() {
	w.now = w.now.Add(step)
	flying := w.flying
	w.flying = nil
	for _, l := range flying {
		if l.at.After(w.now) {
			w.flying = append(w.flying, l)
			continue
		}
		h := w.hosts[l.to]
		e, body, err := contact.Open(l.b, overlay, h.self, h.clock(w).Add(h.wrong), nil)
		if errors.Is(err, contact.ErrTime) && (h.wrong != 0 || w.hosts[1-l.to].wrong != 0 || w.set) {
			continue
		}
		if err != nil {
			w.rt.Fatal(err)
		}
		w.do(l.to, h.c.Received(e, body, h.clock(w)))
	}
	for i, h := range w.hosts {
		for n := range h.sessions {
			if s := h.sessions[n]; s != nil { // an effect may have ended it
				w.live(i, n, s)
			}
		}
		if next := h.c.NextTick(); !next.IsZero() && !next.After(h.clock(w)) {
			w.do(i, h.c.Tick(h.clock(w)))
			if next := h.c.NextTick(); !next.IsZero() && !next.After(h.clock(w)) {
				w.rt.Fatal("a tick that was due is due again")
			}
		}
	}
}

// live lets one session do what time brings.
func (w *world) live(i int, n uint64, s *session) {
	h := w.hosts[i]
	w.tell(i, n, s)
	if h.sessions[n] != s {
		return
	}
	_, other := w.match(i, s)
	if !s.established {
		s.further = slices.DeleteFunc(s.further, func(at time.Time) bool {
			found := s.gathered && w.now.After(at)
			if found {
				s.say(w, fmt.Appendf(nil, "%d of %d, %d", n, i, w.rng.Int()))
			}
			return found
		})
	}
	switch {
	case !s.gathered:
		if w.now.After(s.ready) {
			s.gathered = true
			s.say(w, fmt.Appendf(nil, "%d of %d, %d", n, i, w.rng.Int()))
		}
	case s.established:
		if other != nil && other.established && w.path() {
			s.alive = w.now
		}
		if w.now.Sub(s.alive) > deathAfter {
			delete(h.sessions, n)
			w.closed(i, n)
		}
	case s.connected.IsZero():
	case w.now.Sub(s.connected) > timeOut:
		delete(h.sessions, n)
		w.closed(i, n)
	case other == nil || !w.path():
	case s.handshake.IsZero():
		s.handshake = w.now.Add(200*time.Millisecond + w.random(time.Second))
		if w.chance(4) {
			s.handshake = w.now.Add(time.Hour) // this end never gets the last message
		}
	case w.now.After(s.handshake):
		s.established, s.alive = true, w.now
		s.say(w, nil)
	}
}

// say lets the contact hear of something a little later, in order.
func (s *session) say(w *world, parameters []byte) {
	s.events = append(s.events, event{w.now.Add(w.random(3 * step)), parameters})
}

// tell brings the contact what a session has said.
func (w *world) tell(i int, n uint64, s *session) {
	h := w.hosts[i]
	for len(s.events) > 0 && !s.events[0].at.After(w.now) && h.sessions[n] == s {
		e := s.events[0]
		s.events = s.events[1:]
		if e.parameters == nil {
			w.do(i, h.c.Established(n, h.clock(w)))
			continue
		}
		fx, err := h.c.LocalParameters(n, e.parameters, h.clock(w))
		if err != nil {
			w.rt.Fatal(err)
		}
		w.do(i, fx)
	}
}

func (w *world) inflict(f fault) {
	h := w.hosts[f.host]
	switch f.kind {
	case 0:
		w.restart(f.host)
	case 1:
		w.restart(0)
		w.restart(1)
	case 2:
		w.cut = w.now.Add(w.random(20 * time.Second))
	case 3: // a session fails at one end
		if n := h.c.Status().Serving; n != 0 {
			delete(h.sessions, n)
			w.closed(f.host, n)
		}
	case 4: // at both ends
		for i, h := range w.hosts {
			if n := h.c.Status().Serving; n != 0 {
				delete(h.sessions, n)
				w.closed(i, n)
			}
		}
	case 5:
		h.online = false
		h.c.Offline(h.clock(w))
	case 6:
		h.online = true
		w.do(f.host, h.c.Online(h.clock(w)))
	case 7: // an old envelope comes again
		if len(w.flying) > 0 {
			l := w.flying[w.rng.IntN(len(w.flying))]
			l.at = w.now.Add(w.random(time.Minute))
			w.flying = append(w.flying, l)
		}
	}
}

// After the last fault both ends get established with each other, on one pair of
// attempts, by a bounded number of messages, and then are quiet.
func TestPairConverges(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		faults := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) fault {
			return fault{
				at:   time.Duration(rapid.IntRange(0, int(faultsEnd/step)).Draw(rt, "at")) * step,
				kind: rapid.IntRange(0, 7).Draw(rt, "kind"),
				host: rapid.IntRange(0, 1).Draw(rt, "host"),
			}
		}), 0, 12).Draw(rt, "faults")
		w := newWorld(rt, rapid.Uint64().Draw(rt, "seed"))
		for at := time.Duration(0); at <= faultsEnd; at += step {
			w.advance()
			for _, f := range faults {
				if f.at == at {
					w.inflict(f)
				}
			}
		}
		w.faulty, w.cut, w.sent, w.opened = false, time.Time{}, 0, 0
		for i, h := range w.hosts {
			w.do(i, h.c.Online(h.clock(w)))
		}
		for w.now.Before(epoch.Add(worldEnd)) {
			w.advance()
		}

		a, b := w.hosts[0].c.Status(), w.hosts[1].c.Status()
		if a.State != contact.Serving || b.State != contact.Serving || a.Serving != b.Remote || b.Serving != a.Remote {
			rt.Fatalf("not established on one pair:\n%+v\n%+v", a, b)
		}
		for _, s := range w.hosts[0].sessions {
			if _, other := w.match(0, s); other == nil {
				rt.Fatal("the two ends have different bindings")
			}
		}
		for i, h := range w.hosts {
			if len(h.sessions) != 1 || !h.c.NextTick().IsZero() {
				rt.Fatalf("host %d is not at rest: %d sessions, next tick %v", i, len(h.sessions), h.c.NextTick())
			}
		}
		if w.sent > 60 || w.opened > 12 {
			rt.Fatalf("%d envelopes and %d attempts after the last fault", w.sent, w.opened)
		}
		if quiet := w.now.Sub(w.lastAct); quiet < 2*time.Minute {
			rt.Fatalf("the last envelope was sent only %v ago", quiet)
		}
	})
}
