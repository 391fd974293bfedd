package contact

import (
	"bytes"
	"time"

	"evio/internal/backoff"
	"evio/wall"
)

// open begins a new attempt at time at, or later if the last one began only just
// now. Without a carrier, without need or with one under way it does nothing.
func (c *Contact) open(at, now time.Time, fx []Effect) []Effect {
	c.openAt = time.Time{}
	needed := c.serving == nil || c.serving.onesided || c.remote.number != c.serving.used.remote
	if c.next != nil || !needed || !c.online && c.quota == 0 {
		return fx
	}
	if earliest := c.opened.Add(gap); !c.opened.IsZero() && at.Before(earliest) {
		at = earliest
	}
	if now.Before(at) {
		c.openAt = at
		return fx
	}
	c.next = &attempt{number: c.number(now), opened: now}
	c.opened = now
	return append(fx, OpenSession{c.next.number})
}

// number returns the number of a new attempt: the time in milliseconds, or one
// more than the last. A last number from a clock that was far ahead and was set
// since does not count, because no peer has accepted it.
func (c *Contact) number(now time.Time) uint64 {
	n := wall.Milliseconds(c.wall(now))
	if c.last >= n && c.last <= c.ceiling(now) {
		n = c.last + 1
	}
	c.last = n
	return n
}

// ceiling returns the highest number that a peer with the same clock takes.
func (c *Contact) ceiling(now time.Time) uint64 {
	return wall.Milliseconds(c.wall(now)) + ahead
}

// renew replaces an attempt whose parameters have become old before any use.
func (c *Contact) renew(now time.Time, fx []Effect) []Effect {
	if c.next.own.body == nil || c.next.used.remote != 0 || now.Sub(c.next.opened) < fresh {
		return fx
	}
	return c.open(now, now, c.giveUp(fx))
}

// announce returns what is sent to the peer about the attempt under way.
func (c *Contact) announce(number uint64, parameters []byte) announced {
	return announced{number: number, parameters: parameters, body: Body(Envelope{
		To: c.cfg.Peer, From: c.self, Attempt: number, Key: publicKey(c.cfg.Key), Parameters: parameters,
	}, c.cfg.Overlay)}
}

// update announces the further parameters of the attempt under way when it is time.
// The session is connected anew before the envelope is sent: one that is established
// by then keeps what it has, and the peer does not hear of others.
func (c *Contact) update(now time.Time, fx []Effect) []Effect {
	if now.Before(c.updateAt) {
		return fx
	}
	a := c.next
	c.updateAt = time.Time{}
	if bytes.Equal(a.further, a.own.parameters) {
		return fx
	}
	a.own, a.updated = c.announce(c.number(now), a.further), now
	c.sendings, c.sendAt = 0, now
	return c.connect(now, fx)
}

// giveUp ends an attempt that the peer has not answered.
func (c *Contact) giveUp(fx []Effect) []Effect {
	if c.next.used.remote != 0 {
		return fx // it ends by itself
	}
	fx = append(fx, CloseSession{c.next.number})
	c.next = nil
	c.idle()
	return fx
}

// idle forgets what was due for an attempt that is not under way any more.
func (c *Contact) idle() {
	c.updateAt, c.connectAt, c.sendAt = time.Time{}, time.Time{}, time.Time{}
}

// connect gives the attempt under way the peer's parameters, unless it has them.
func (c *Contact) connect(now time.Time, fx []Effect) []Effect {
	c.connectAt = time.Time{}
	a := c.next
	if a == nil || a.own.body == nil || c.remote.number == 0 || c.remote.spent {
		return fx
	}
	news := a.used.remote != c.remote.number
	if !news && a.used.own.number == a.own.number {
		return fx
	}
	if news {
		if earliest := a.connected.Add(gap); a.used.remote != 0 && now.Before(earliest) {
			c.connectAt = earliest
			return fx
		}
		a.connected = now
	}
	a.before, a.used = a.used, pairing{a.own, c.remote.number}
	return append(fx, ConnectSession{
		Attempt:    a.number,
		Remote:     c.remote.number,
		Parameters: c.remote.parameters,
		Binding:    Binding(a.own.body, c.remote.body, c.self, c.cfg.Peer),
	})
}

// hurry restarts the sending of envelopes without back-off.
func (c *Contact) hurry(now time.Time, fx []Effect) []Effect {
	if c.next == nil || c.next.own.body == nil {
		return fx
	}
	c.sendings = 0
	earliest := c.sent.Add(gap)
	if !now.Before(earliest) {
		return c.send(now, fx)
	}
	if c.sendAt.IsZero() || earliest.Before(c.sendAt) {
		c.sendAt = earliest
	}
	return fx
}

// send signs the envelope of the attempt under way for the next minute and sets
// the time of its repetition.
func (c *Contact) send(now time.Time, fx []Effect) []Effect {
	c.sendAt = time.Time{}
	if !c.online {
		if c.quota == 0 {
			return c.giveUp(fx)
		}
		c.quota--
	}
	b := seal(c.cfg.Key, c.cfg.Overlay, Envelope{
		To: c.cfg.Peer, Attempt: c.next.own.number, Expiry: c.wall(now).Add(Lifetime), Parameters: c.next.own.parameters,
	})
	c.sendings++
	c.sent, c.sendAt = now, now.Add(max(gap, c.backoff(max(1, c.sendings-dense+1))))
	return append(fx, SendEnvelope{b})
}

// failed counts an attempt that came to nothing and begins the back-off.
func (c *Contact) failed(now time.Time) {
	c.failures++
	c.pauseEnd = now.Add(c.backoff(c.failures))
}

// backoff returns the n-th pause: 1, 2, 4 … 30 s, up to a quarter longer or shorter.
func (c *Contact) backoff(n int) time.Duration {
	pause := backoff.Exponential{First: backoffFirst, Last: backoffLast}.Pause(n - 1)
	return backoff.Spread(pause, 0.75, 1.25, c.cfg.Rand.Float64())
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

func due(at, now time.Time) bool { return !at.IsZero() && !now.Before(at) }
