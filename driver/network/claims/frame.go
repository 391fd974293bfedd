package claims

import (
	"slices"
	"time"

	"evio/datapath/packet"
)

// Frame takes a frame that a container sent and that it may send only with a claim.
// It is not kept.
func (m *Machine) Frame(id string, frame []byte, now time.Time) []Effect {
	m.putBack(now)
	m.expire(now)
	b := m.containers[id]
	if b == nil {
		m.count(Delayed)
		return m.done()
	}
	needs, cause := m.needs(b, frame)
	if cause != 0 {
		m.count(cause)
		return m.done()
	}
	for _, n := range needs {
		if c := b.claims[n.Key()]; c != nil {
			c.seen = now
			m.answered(b, c, now)
		}
	}
	frame = slices.Clone(frame)
	if m.advert(b, frame, needs, now) {
		return m.done()
	}
	w, most := waitingFrame{frame: frame, needs: needs, came: now, until: now.Add(holdFor)}, maxHeld
	if there, ok := b.installed(needs); ok {
		w.after, most = now.Add(min(max(now.Sub(there), minPutBack), maxPutBack)), maxPaused
	}
	if b.waits(!w.after.IsZero()) >= most {
		m.count(Delayed)
		return m.done()
	}
	b.waiting = append(b.waiting, w)
	m.advance(b, now)
	return m.done()
}

// advert sends on an advertisement of VRRP from a MAC address that the container does
// not hold, from its own: the router that holds it gives it up for hearing this.
func (m *Machine) advert(b *container, frame []byte, needs []Claim, now time.Time) bool {
	if len(needs) != 1 || needs[0].Addr.IsValid() || !isVRRP(needs[0].MAC) || !isAdvert(frame) {
		return false
	}
	if c := b.claims[needs[0].Key()]; c != nil && c.granted {
		return false
	}
	copy(frame[packet.HeaderLen-8:], b.mac[:])
	m.emit(Deliver{Container: b.id, Frame: frame})
	m.begin(b, needs[0], now)
	return true
}

// installed returns since when the bridge has all that a frame needs, and whether it does.
func (b *container) installed(needs []Claim) (since time.Time, ok bool) {
	for _, n := range needs {
		c := b.claims[n.Key()]
		if c == nil || !c.granted || c.taking || c.installed.IsZero() {
			return time.Time{}, false
		}
		if c.installed.After(since) {
			since = c.installed
		}
	}
	return since, len(needs) > 0
}

// waits returns how many frames wait: those whose flows were there when they came, or the
// others.
func (b *container) waits(paused bool) (count int) {
	for _, w := range b.waiting {
		if w.after.IsZero() != paused {
			count++
		}
	}
	return count
}

// waits reports whether any frame waits.
func (m *Machine) waits() bool {
	for _, b := range m.containers {
		if len(b.waiting) > 0 {
			return true
		}
	}
	return false
}

// verdict says what becomes of a frame.
type verdict uint8

const (
	ready verdict = iota
	blocked
	refused
)

// advance looks at the frames of a container that wait.
func (m *Machine) advance(b *container, now time.Time) {
	kept := b.waiting[:0]
	for _, w := range b.waiting {
		v, cause := m.judge(b, w, now)
		switch {
		case v == ready && !now.Before(w.after):
			m.emit(Deliver{Container: b.id, Frame: w.frame})
			continue
		case v == refused:
			m.count(cause)
			continue
		case v == blocked:
			w.after = time.Time{} // other flows come first
			if !now.Before(w.until) {
				m.tooLate(b, w, now)
				continue
			}
		}
		kept = append(kept, w)
	}
	clear(b.waiting[len(kept):])
	b.waiting = kept
}

// judge says whether a container holds all that a frame needs, and begins to claim the
// first that it does not.
func (m *Machine) judge(b *container, w waitingFrame, now time.Time) (verdict, Cause) {
	needs := w.needs
	var last time.Time
	waits := false
	for i, n := range needs {
		c := b.claims[n.Key()]
		if c == nil || !c.granted && !c.taking || !c.taking && c.MAC != n.MAC && now.Sub(c.bound) >= rebindAfter {
			if c != nil && c.refused != 0 && !m.again(c, now) {
				c.Claim, c.until = n, now.Add(rememberFor)
				return refused, m.leave(b, needs[i:], now)
			}
			if cause := m.begin(b, n, now); cause != 0 {
				m.leave(b, needs[i:], now)
				return refused, cause
			}
			c = b.claims[n.Key()]
		}
		if !c.granted || c.taking {
			return blocked, 0 // an address counts only with the MAC address that it is behind
		}
		waits = waits || c.installed.IsZero()
		if c.installed.After(last) {
			last = c.installed
		}
	}
	if waits {
		return blocked, 0
	}
	if w.came.Sub(last) > lateAfter {
		return refused, Delayed
	}
	return ready, 0
}

// leave notes the claims behind one that was refused, so that they are made with it, and
// returns why it was.
func (m *Machine) leave(b *container, needs []Claim, now time.Time) Cause {
	c := b.claims[needs[0].Key()]
	if c == nil || c.refused == 0 {
		return Limit
	}
	cause := c.refused
	for _, n := range needs[1:] {
		if have := b.claims[n.Key()]; have == nil || have.refused != 0 {
			m.remember(b, n, cause, c.holder, now)
		}
	}
	return cause
}

// again reports whether a refused claim may be tried again.
func (m *Machine) again(c *claim, now time.Time) bool {
	return !now.Before(c.retryAt)
}

// tooLate gives up a frame. Its claims are made after all, as soon as they can be, and the
// engine announces them in its place.
func (m *Machine) tooLate(b *container, w waitingFrame, now time.Time) {
	for _, n := range w.needs {
		switch c := b.claims[n.Key()]; {
		case c == nil:
			m.remember(b, n, Delayed, Holder{}, now)
		case !c.granted && !c.taking:
			c.Claim, c.until = n, now.Add(rememberFor)
		case c.installed.IsZero():
			c.late = true
		}
	}
	m.count(Delayed)
}

// expire gives up the frames that have waited for too long.
func (m *Machine) expire(now time.Time) {
	if !m.waits() {
		return
	}
	for _, id := range m.ids() {
		b := m.containers[id]
		b.waiting = slices.DeleteFunc(b.waiting, func(w waitingFrame) bool {
			old := !now.Before(w.until)
			if old {
				m.tooLate(b, w, now)
			}
			return old
		})
	}
}

// putBack delivers the frames whose flows were there when they came, and that have waited
// for the switch to go by them.
func (m *Machine) putBack(now time.Time) {
	if !m.waits() {
		return
	}
	for _, id := range m.ids() {
		b := m.containers[id]
		due := false
		for i := range b.waiting {
			if w := &b.waiting[i]; !w.after.IsZero() && !now.Before(w.after) {
				w.after, due = time.Time{}, true
			}
		}
		if due {
			m.advance(b, now)
		}
	}
}

// Installed says that the bridge has what was granted up to a generation.
func (m *Machine) Installed(gen uint64, now time.Time) []Effect {
	for _, id := range m.ids() {
		b := m.containers[id]
		for _, c := range b.sorted() {
			if !c.granted || c.gen > gen || !c.installed.IsZero() {
				continue
			}
			c.installed = now
			if c.late && c.Addr.IsValid() {
				m.emit(Announce{Container: id, Claim: c.Claim})
			}
			c.late = false
		}
		m.advance(b, now)
	}
	m.expire(now)
	return m.done()
}
