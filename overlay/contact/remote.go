package contact

import "time"

// remote is the peer's highest attempt.
type remote struct {
	number     uint64
	parameters []byte
	body       []byte
	expiry     time.Time // of the newest envelope of it
	first      time.Time // expiry of the first one
	heard      time.Time // when that came
	// spent: a session was established with it, so it takes no other; unless the
	// peer repeats it, which it does only while it has no session itself.
	spent bool
}

// signed returns when an envelope of the attempt was signed, by this node's clock; it
// takes the first one to have come at once.
func (r *remote) signed(e Envelope) time.Time { return r.heard.Add(e.Expiry.Sub(r.first)) }

// Received takes an envelope of the peer with its body, as Open returned them. The
// caller has checked that its key is that of a member. A peer that sends is
// answered, whether or not it was seen online.
func (c *Contact) Received(e Envelope, body []byte, now time.Time) []Effect {
	if c.stopped || e.From != c.cfg.Peer || e.To != c.self {
		return nil
	}
	if c.Replayed(e, now) {
		return nil
	}
	newer := e.Attempt > c.heard(now)
	switch {
	case newer:
		c.remote = remote{
			number: e.Attempt, parameters: e.Parameters, body: body, heard: now, first: e.Expiry,
		}
	case c.serving != nil && c.serving.used.remote == e.Attempt:
		if c.remote.signed(e).Sub(c.serving.established) < patience {
			c.remote.expiry = e.Expiry
			return nil // a late copy of what made the session
		}
		c.serving.onesided, c.remote.spent = true, false
	default:
		c.remote.spent = false
	}
	c.remote.expiry = e.Expiry
	c.quota = blind

	var fx []Effect
	if c.next == nil {
		// Nothing is under way: we are idle, or serve with an attempt that the peer
		// gave up. What only repeats waits for the end of the back-off.
		at := c.pauseEnd
		if newer {
			at = now
		}
		return c.open(at, now, fx)
	}
	fx = c.renew(now, fx)
	fx = c.connect(now, fx)
	if newer || c.sendAt.IsZero() {
		fx = c.hurry(now, fx)
	}
	return fx
}

// Replayed reports whether an envelope of the peer is of no use at now: of an attempt
// that it has given up, or a copy of one that was received. The peer signs each anew.
func (c *Contact) Replayed(e Envelope, now time.Time) bool {
	known := c.heard(now)
	return e.Attempt < known || e.Attempt == known && !e.Expiry.After(c.remote.expiry)
}

// heard returns the number of the peer's highest attempt.
func (c *Contact) heard(now time.Time) uint64 {
	if c.remote.number > milliseconds(now)+uint64((Lifetime+Skew).Milliseconds()) {
		return 0 // made by a clock that was wrong here as well, and was set since
	}
	return c.remote.number
}
