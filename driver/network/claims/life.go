package claims

import (
	"time"

	"evio/overlay/nodeid"
)

// begin asks for a claim, or returns why that is pointless.
func (m *Machine) begin(b *container, n Claim, now time.Time) Cause {
	k := n.Key()
	c := b.claims[k]
	if c != nil && c.taking {
		return 0
	}
	if owner := m.given[k]; owner != nil && owner != b {
		return m.remember(b, n, Held, Holder{Container: owner.id, Given: true, MAC: owner.mac, Addr: first(owner.given)}, now)
	}
	if owner := m.taken[k]; owner != nil && owner != b {
		cause := m.remember(b, n, Held, Holder{Container: owner.id, MAC: owner.mac, Addr: first(owner.given)}, now)
		m.askLocal(b, owner, k, now)
		return cause
	}
	if (c == nil || !c.granted) && !m.room(b, n) {
		return Limit
	}
	if c == nil {
		c = &claim{}
		b.claims[k] = c
	}
	if !c.granted {
		c.since = now
	}
	c.Claim, c.taking, c.seen, c.bound = n, true, now, now
	m.taken[k] = b
	m.emit(Take{Container: b.id, Claim: n})
	return 0
}

// remember notes that a container wants what it does not get.
func (m *Machine) remember(b *container, n Claim, cause Cause, by Holder, now time.Time) Cause {
	c := b.claims[n.Key()]
	if c == nil {
		m.trim(b, maxRefused-1)
		c = &claim{Claim: n, seen: now}
		b.claims[n.Key()] = c
	}
	c.Claim = n // it may be behind another MAC address than before
	m.refuse(b, c, cause, by, now)
	c.until = now.Add(rememberFor)
	return cause
}

// refuse notes why a claim is not granted.
func (m *Machine) refuse(b *container, c *claim, cause Cause, by Holder, now time.Time) {
	if c.refused == 0 {
		c.since = now
	}
	if c.refused == cause && c.holder.Node == by.Node && by.Container == "" && !by.MACKnown() {
		by.MAC, by.Addr = c.holder.MAC, c.holder.Addr // as it has told
	}
	c.granted, c.taking, c.installed, c.question, c.looking = false, false, time.Time{}, nil, false
	c.refused, c.holder = cause, by
	if c.until.IsZero() {
		c.until = now.Add(rememberFor)
	}
	c.retryAt = now.Add(retryAfter)
	if cause != Delayed && (c.logged.IsZero() || now.Sub(c.logged) >= time.Minute) {
		c.logged = now
		m.emit(Refused{Container: b.id, Claim: c.Claim, Cause: cause, Holder: by})
	}
}

// MACKnown reports whether the container that holds it is known.
func (h Holder) MACKnown() bool { return h.MAC != MAC{} }

// grant gives a claim to its container.
func (m *Machine) grant(b *container, c *claim, now time.Time) {
	m.gen++
	c.granted, c.taking, c.refused, c.holder = true, false, 0, Holder{}
	c.since, c.used, c.gen, c.installed = now, now, m.gen, time.Time{}
	c.until, c.retryAt = time.Time{}, time.Time{}
	if !c.Addr.IsValid() {
		for _, a := range b.claims {
			if a.refused != 0 && a.Addr.IsValid() && a.MAC == c.MAC {
				a.retryAt = now
			}
		}
	}
	m.emit(Changed{Container: b.id, Gen: m.gen})
}

// withdraw takes a claim from a container. With a MAC address go the addresses behind it.
func (m *Machine) withdraw(b *container, c *claim, now time.Time) {
	k := c.Key()
	if !c.Addr.IsValid() {
		for _, a := range b.sorted() {
			if a.Addr.IsValid() && a.MAC == c.MAC && (a.granted || a.taking) {
				m.withdraw(b, a, now)
			}
		}
	}
	was := c.granted
	c.granted, c.taking, c.installed, c.question, c.looking = false, false, time.Time{}, nil, false
	delete(b.claims, k)
	if m.taken[k] == b {
		delete(m.taken, k)
	}
	m.emit(Withdraw{Claim: c.Claim})
	if was {
		m.gen++
		m.emit(Changed{Container: b.id, Gen: m.gen})
	}
	m.freed(k, now)
}

// freed has those try who want what is free now.
func (m *Machine) freed(k Key, now time.Time) {
	for _, id := range m.ids() {
		if c := m.containers[id].claims[k]; c != nil && c.refused != 0 && !c.granted {
			c.retryAt = now
		}
	}
}

// Outcome is the directory's answer to Take.
type Outcome struct {
	Cause  Cause // zero: it is this node's
	Holder Holder
	Final  bool // it is no use to try again
}

// Taken is the directory's answer to Take.
func (m *Machine) Taken(id string, n Claim, o Outcome, now time.Time) []Effect {
	b := m.containers[id]
	var c *claim
	if b != nil {
		c = b.claims[n.Key()]
	}
	k := n.Key()
	switch {
	case c == nil || c.Claim != n || !c.taking && !c.granted:
		// It was given up meanwhile; the directory gets that after this.
	case o.Cause == 0 && c.taking:
		m.grant(b, c, now)
	case o.Cause == 0:
	case c.granted && !c.taking: // it was held in an earlier life
		m.lose(b, c, o, now)
	default:
		if c.granted { // with another MAC address than it asks for
			m.gen++
			m.emit(Changed{Container: b.id, Gen: m.gen})
		}
		if m.taken[k] == b {
			delete(m.taken, k)
		}
		m.refuse(b, c, o.Cause, o.Holder, now)
		if o.Final {
			c.until, c.retryAt = now, now.Add(rememberFor)
		}
		m.askWay(b, c, now)
	}
	if b != nil {
		m.advance(b, now)
	}
	m.trim(b, maxRefused)
	return m.done()
}

// trim forgets the refused claims that were wanted longest ago, until most are left.
func (m *Machine) trim(b *container, most int) {
	for b != nil {
		var oldest *claim
		n := 0
		for _, c := range b.sorted() {
			if c.granted || c.taking {
				continue
			}
			n++
			if oldest == nil || c.seen.Before(oldest.seen) {
				oldest = c
			}
		}
		if n <= most {
			return
		}
		delete(b.claims, oldest.Key())
	}
}

// lose takes from a container what another node turned out to have.
func (m *Machine) lose(b *container, c *claim, o Outcome, now time.Time) {
	m.withdraw(b, c, now)
	lost := &claim{Claim: c.Claim, seen: now}
	b.claims[c.Key()] = lost
	m.refuse(b, lost, o.Cause, o.Holder, now)
	m.trim(b, maxRefused)
}

// Lost says that another node has what a container here had claimed.
func (m *Machine) Lost(k Key, by Holder, now time.Time) []Effect {
	if b := m.taken[k]; b != nil {
		if c := b.claims[k]; c != nil && c.granted {
			m.lose(b, c, Outcome{Cause: Held, Holder: by}, now)
		}
	}
	return m.done()
}

// Keys returns what containers here have claimed of the directory.
func (m *Machine) Keys() []Claim {
	var out []Claim
	for _, id := range m.ids() {
		for _, c := range m.Granted(id) {
			if !c.LinkLocal() {
				out = append(out, c)
			}
		}
	}
	return out
}

// Joined says that there is a directory from now on.
func (m *Machine) Joined(time.Time) []Effect {
	for _, id := range m.ids() {
		b := m.containers[id]
		list := b.sorted()
		for _, addresses := range []bool{false, true} { // which refer to MAC addresses
			for _, c := range list {
				if c.granted && c.Addr.IsValid() == addresses && !c.LinkLocal() {
					m.emit(Take{Container: id, Claim: c.Claim})
				}
			}
		}
	}
	return m.done()
}

// Retry has all try that want something, since the directory has changed.
func (m *Machine) Retry(now time.Time) []Effect {
	for _, id := range m.ids() {
		for _, c := range m.containers[id].claims {
			if c.refused != 0 && now.Before(c.until) {
				c.retryAt = now
			}
		}
	}
	m.retry(now)
	return m.done()
}

// retry tries what was refused and is still wanted.
func (m *Machine) retry(now time.Time) {
	for _, id := range m.ids() {
		b := m.containers[id]
		for _, c := range b.sorted() {
			if c.refused == 0 || c.granted || c.taking || now.Before(c.retryAt) || !now.Before(c.until) {
				continue
			}
			c.late, c.retryAt = true, now.Add(retryAfter)
			if mac := b.claims[Key{MAC: c.MAC}]; c.Addr.IsValid() && c.MAC != b.mac && (mac == nil || !mac.granted) {
				continue // it waits for that
			}
			until := c.until
			m.begin(b, c.Claim, now)
			if mine := b.claims[c.Key()]; mine != nil {
				mine.until = until
			}
		}
	}
}

// askWay asks the node that holds what a container wants to give it up.
func (m *Machine) askWay(b *container, c *claim, now time.Time) {
	h := c.holder
	if c.refused != Held || h.Given || h.Node == (nodeid.ID{}) || !now.Before(c.until) {
		return
	}
	if !c.movedAt.IsZero() && now.Sub(c.movedAt) < moveAfter {
		return
	}
	c.movedAt = now
	m.emit(GiveWay{Node: h.Node, Key: c.Key(), Asker: b.party()})
}

func (b *container) party() Party { return Party{MAC: b.mac, Addr: first(b.given)} }

// Stays says that the node that holds a key keeps it, for one of its containers.
func (m *Machine) Stays(node nodeid.ID, k Key, by Party) []Effect {
	for _, id := range m.ids() {
		c := m.containers[id].claims[k]
		if c != nil && c.refused == Held && c.holder.Node == node {
			c.holder.MAC, c.holder.Addr = by.MAC, by.Addr
		}
	}
	return m.done()
}
