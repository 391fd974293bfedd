package contact

import (
	"crypto/ed25519"
	"fmt"
	"math/rand/v2"
	"time"

	"evio/overlay/nodeid"
	"evio/wall"
)

const (
	// backoffFirst and backoffLast bound the pauses between two sendings of an
	// envelope, and between two attempts that failed; each is twice the one before.
	backoffFirst = time.Second
	backoffLast  = 30 * time.Second
	// dense is how many envelopes are sent before the pauses between them grow: one
	// that is lost, or sent to where the peer was before, costs about a second.
	dense = 5
	// gap is the least time between two attempts, between two sendings and between
	// two ConnectSession for news of the peer: a peer that floods us with new attempts
	// cannot make us work faster.
	gap = time.Second
	// linger is how long a replaced session is kept for what is under way in it.
	linger = 3 * time.Second
	// fresh is the age beyond which parameters that no session has used are made
	// anew before they are used: NAT mappings and addresses change meanwhile.
	fresh = 60 * time.Second
	// proven is how long a session serves before its end is no failure to
	// establish, so that a pair whose sessions die at once does not spin.
	proven = 10 * time.Second
	// patience is how long after a session was established here the peer may still ask
	// for one, because it has not heard of it.
	patience = 2 * time.Second
	// blind is the number of envelopes sent to a peer that is not known to be online.
	blind = 4
)

// Config describes one peer of one overlay.
type Config struct {
	Key     ed25519.PrivateKey // of this engine
	Overlay string
	Peer    nodeid.ID
	Rand    *rand.Rand // for jitter
	Wall    wall.Clock // nil: this machine's
}

// Contact is the state machine of one peer.
//
// Per attempt of ours:
//
//	 Online, Received      LocalParameters     peer's are known      Established
//	idle ───────> gathering ───────> waiting ───────> connecting ───────> serving
//	  ^               │                 │                  │                 │
//	  └── back-off ───┴──── Closed ─────┴──────────────────┘<──── Closed ────┘
//
// Beside a serving attempt there may be one being established (next), when the
// peer began a new attempt, and one being given up (old), 3 s after it was
// replaced.
//
// A session may find further parameters while its attempt is under way. They are
// announced as a newer attempt of this node, so that the binding covers them, for
// the same session: its number here stays the one it was opened under. The peer
// sees an attempt with a higher number and nothing else.
//
// Only a fault begins a chain of attempts. A newer attempt of the peer is answered
// by a new one of ours only if ours is established; as the peer's newer one is not
// established at that time, our answer makes it connect and nothing more. So a
// chain ends after one attempt at each end.
//
// Events of attempts that are not known any more change nothing, and after Stop
// no event does.
type Contact struct {
	cfg  Config
	self nodeid.ID
	wall wall.Clock

	online  bool
	came    time.Time // when it was last seen to come online
	quota   int       // envelopes that may be sent though the peer is not online
	stopped bool

	last     uint64    // highest attempt number used
	opened   time.Time // when it began
	failures int       // attempts in a row that did not give a proven session
	pauseEnd time.Time // end of the back-off
	err      error     // of the last session that ended

	next, serving, old *attempt
	remote             remote
	history            history

	sent     time.Time // last envelope
	sendings int       // of this attempt, since the back-off was last restarted

	// Times at which Tick has something to do; zero: none.
	openAt, updateAt, connectAt, sendAt, closeAt time.Time
}

// attempt is one try of ours.
type attempt struct {
	number      uint64 // by which the caller knows its session
	opened      time.Time
	own         announced // what is sent to the peer; no body: still gathering
	further     []byte    // parameters to be announced next, at updateAt
	updated     time.Time // when further ones were last announced
	used        pairing   // what the session was last connected with
	before      pairing   // and before that
	connected   time.Time // when it was last connected with news of the peer
	established time.Time
	onesided    bool // the peer goes on asking: it has not got this session
}

// announced is what is sent to the peer about an attempt.
type announced struct {
	number     uint64
	parameters []byte
	body       []byte
}

// pairing is what a session is made with: one announced attempt of each end.
type pairing struct {
	own    announced
	remote uint64 // 0: none yet
}

// New returns the machine of a peer that is not known to be online.
func New(cfg Config) *Contact {
	return &Contact{cfg: cfg, self: nodeid.FromKey(publicKey(cfg.Key), cfg.Overlay), wall: cfg.Wall.Or()}
}

// Online says that the peer seems to be there and that a carrier reaches it. It
// may be repeated.
func (c *Contact) Online(now time.Time) []Effect {
	if c.stopped {
		return nil
	}
	came := !c.online
	c.online = true
	if came {
		c.failures, c.pauseEnd = 0, time.Time{}
		if now.Sub(c.came) >= gap { // what was sent last was sent to nobody
			c.came, c.sent = now, time.Time{}
		}
	}
	var fx []Effect
	switch {
	case c.next == nil && c.serving == nil:
		fx = c.open(c.pauseEnd, now, fx)
	case came && c.next != nil:
		fx = c.renew(now, fx)
		fx = c.hurry(now, fx)
	}
	return fx
}

// ClockSet says that this node's wall time was set. An attempt that came to nothing may have
// failed because of the time in an envelope, so there is a new one at once. It has another
// number, so that the peer does not wait either.
func (c *Contact) ClockSet(now time.Time) []Effect {
	if c.stopped {
		return nil
	}
	c.failures, c.pauseEnd = 0, time.Time{}
	var fx []Effect
	if c.next != nil {
		fx = append(fx, CloseSession{c.next.number})
		c.next = nil
		c.idle()
	}
	return c.open(now, now, fx)
}

// Offline says that the peer seems to be gone or that no carrier reaches it. It
// ends no session that is established: after a few more envelopes the Contact is
// quiet until Online or Received.
func (c *Contact) Offline(time.Time) {
	if c.online {
		c.online, c.quota = false, blind
	}
}

// Unanswered returns how many envelopes of the attempt under way were sent since the
// pauses between them were last short, none if the peer has been heard.
func (c *Contact) Unanswered() int {
	if c.next == nil || c.next.used.remote != 0 {
		return 0
	}
	return c.sendings
}

// LocalParameters takes the parameters of the session that OpenSession asked for.
// Others may follow until the session is established; they are announced no more often
// than gap allows, the newest only.
func (c *Contact) LocalParameters(number uint64, parameters []byte, now time.Time) ([]Effect, error) {
	if len(parameters) > MaxParameters {
		return nil, fmt.Errorf("session parameters of %d bytes, at most %d fit in an envelope", len(parameters), MaxParameters)
	}
	a := c.next
	if a == nil || a.number != number {
		return nil, nil
	}
	if a.own.body != nil {
		a.further, c.updateAt = append([]byte{}, parameters...), later(now, a.updated.Add(gap))
		return c.update(now, nil), nil
	}
	a.own = c.announce(number, append([]byte{}, parameters...))
	fx := c.connect(now, nil)
	c.sendings = 0
	return c.send(now, fx), nil
}

// Unconnected says that the session of an attempt did not take what ConnectSession
// last gave it, because it was established by then: it serves what it had been
// connected with before. Established is still to be said.
func (c *Contact) Unconnected(number uint64) {
	a := c.next
	if a == nil || a.number != number {
		return
	}
	a.used = a.before
	if a.used.remote != 0 {
		a.own = a.used.own
	}
}

// Established says that the session of an attempt has keys and a path.
func (c *Contact) Established(number uint64, now time.Time) []Effect {
	if c.next == nil || c.next.number != number {
		return nil
	}
	var fx []Effect
	if c.old != nil {
		fx = append(fx, CloseSession{c.old.number})
		c.old, c.closeAt = nil, time.Time{}
	}
	if c.serving != nil {
		c.old, c.closeAt = c.serving, now.Add(linger)
	}
	c.serving, c.next = c.next, nil
	c.serving.established = now
	c.openAt = time.Time{}
	c.idle()
	if c.serving.used.remote == c.remote.number {
		c.remote.spent = true
		return fx
	}
	return c.open(now, now, fx) // the peer has begun anew meanwhile
}

// Closed says that the session of an attempt ended by itself, and why.
func (c *Contact) Closed(number uint64, reason error, now time.Time) []Effect {
	switch {
	case c.old != nil && c.old.number == number:
		c.old, c.closeAt = nil, time.Time{}
		return nil
	case c.serving != nil && c.serving.number == number:
		if now.Sub(c.serving.established) >= proven {
			c.failures, c.pauseEnd = 0, now
		} else {
			c.failed(now)
		}
		c.serving, c.err = nil, reason
		if c.next != nil {
			return nil
		}
	case c.next != nil && c.next.number == number:
		c.failed(now)
		c.next, c.err = nil, reason
		c.idle()
		if c.serving != nil {
			return nil // it serves on; a peer that wants another repeats itself
		}
	default:
		return nil
	}
	return c.open(c.pauseEnd, now, nil)
}

// Tick does what is due at now; NextTick says when it is needed. It may be called
// at any time.
func (c *Contact) Tick(now time.Time) []Effect {
	var fx []Effect
	if due(c.closeAt, now) {
		fx = append(fx, CloseSession{c.old.number})
		c.old, c.closeAt = nil, time.Time{}
	}
	if due(c.openAt, now) {
		fx = c.open(c.openAt, now, fx)
	}
	if due(c.updateAt, now) {
		fx = c.update(now, fx)
	}
	if due(c.connectAt, now) {
		fx = c.connect(now, fx)
	}
	if due(c.sendAt, now) {
		fx = c.send(now, fx)
	}
	return fx
}

// NextTick returns the next time at which Tick is needed, zero for none.
func (c *Contact) NextTick() time.Time {
	var first time.Time
	for _, t := range []time.Time{c.openAt, c.updateAt, c.connectAt, c.sendAt, c.closeAt} {
		if !t.IsZero() && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	return first
}

// Stop gives up the peer and returns what is left to close.
func (c *Contact) Stop() []Effect {
	var fx []Effect
	for _, a := range []*attempt{c.next, c.serving, c.old} {
		if a != nil {
			fx = append(fx, CloseSession{a.number})
		}
	}
	*c = Contact{cfg: c.cfg, self: c.self, wall: c.wall, stopped: true, err: c.err}
	return fx
}
