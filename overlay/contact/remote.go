package contact

import (
	"bytes"
	"time"
)

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
	if c.history.has(e) {
		return nil
	}
	c.history.came.add(signatureOf(e), copies)
	namesake := e.Attempt == c.remote.number && !bytes.Equal(body, c.remote.body)
	newer := namesake || e.Attempt > c.heard(now)
	if c.behind(e, now) {
		if !c.history.setBack(e, now) {
			c.history.doubt(e, now)
			return nil
		}
		newer = namesake || e.Attempt != c.remote.number
		c.remote.first, c.remote.heard = c.history.doubted.expiry, c.history.doubted.came
	}
	c.history.doubted = doubt{}
	if namesake {
		c.unname(e.Attempt)
	}
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

// unname forgets that attempts of ours were connected with an attempt of the peer. Its clock
// was set back between two of its lives, and another one has the same number by chance.
func (c *Contact) unname(remote uint64) {
	for _, a := range []*attempt{c.next, c.serving, c.old} {
		if a != nil && a.used.remote == remote {
			a.used.remote = 0
		}
	}
}

// Replayed reports whether an envelope of the peer changes nothing at now: it is a copy of
// one that was received, as the peer signs each anew, or of an attempt that it has given
// up, as far as one can tell. Received takes it all the same: it may be the first sign
// that the peer's clock was set back.
func (c *Contact) Replayed(e Envelope, now time.Time) bool {
	return c.history.has(e) || c.behind(e, now) && !c.history.setBack(e, now)
}

// Seen reports whether an envelope of the peer is a copy of one that came before. It
// changes nothing.
func (c *Contact) Seen(e Envelope) bool { return c.history.has(e) }

// Copy reports whether an envelope of the peer is a copy of one that came before, and
// remembers it: it is for those that are refused for their time.
func (c *Contact) Copy(e Envelope) bool {
	if c.history.has(e) {
		return true
	}
	c.history.untimely.add(signatureOf(e), untimelyCopies)
	return false
}

// behind reports whether the peer has signed something newer, by its own clock.
func (c *Contact) behind(e Envelope, now time.Time) bool {
	known := c.heard(now)
	return e.Attempt < known || e.Attempt == known && !e.Expiry.After(c.remote.expiry)
}

// heard returns the number of the peer's highest attempt.
func (c *Contact) heard(now time.Time) uint64 {
	if c.remote.number > c.ceiling(now) {
		return 0 // made by a clock that was wrong here as well, and was set since
	}
	return c.remote.number
}
