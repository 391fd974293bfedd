package claims

import (
	"slices"
	"time"

	"evio/overlay/nodeid"
)

// Asker is the MAC address from which containers are asked for what they have claimed.
// It is locally administered and the same everywhere: no frame with it leaves the bridge.
var Asker = MAC{0x02, 0x65, 0x76, 0x69, 0x6f, 0x01}

// Rival is a container that announces what another one holds.
type Rival struct {
	Container string    // of this engine; empty: it is elsewhere
	Node      nodeid.ID // where; zero: here
	Party
}

// maxRivals bounds the rivals that wait for one answer.
const maxRivals = 16

// question is what a container is asked: whether it still has what it has claimed.
type question struct {
	began  time.Time
	sent   int
	rivals []Rival
}

// next returns when the container is asked next.
func (q *question) next() time.Time {
	return q.began.Add(askFirst + time.Duration(q.sent)*askGap)
}

// ask begins a question, or has one more wait for its answer.
func (m *Machine) ask(c *claim, by *Rival, now time.Time) {
	if c.question == nil {
		c.question = &question{began: now}
	}
	if by == nil {
		return
	}
	c.rival, c.rivalAt = *by, now
	q := c.question
	if len(q.rivals) < maxRivals && !slices.Contains(q.rivals, *by) {
		q.rivals = append(q.rivals, *by)
	}
}

// askLocal asks a container here for what another one here wants.
func (m *Machine) askLocal(b, owner *container, k Key, now time.Time) {
	mine, theirs := b.claims[k], owner.claims[k]
	if mine == nil || theirs == nil || !theirs.granted || !mine.movedAt.IsZero() && now.Sub(mine.movedAt) < moveAfter {
		return
	}
	mine.movedAt = now
	m.ask(theirs, &Rival{Container: b.id, Party: b.party()}, now)
}

// Asked takes another node's question for a key.
func (m *Machine) Asked(node nodeid.ID, k Key, by Party, now time.Time) []Effect {
	if b := m.given[k]; b != nil {
		m.emit(Kept{Node: node, Key: k, Holder: b.party()})
		return m.done()
	}
	if b := m.taken[k]; b != nil && b.claims[k].granted {
		m.ask(b.claims[k], &Rival{Node: node, Party: by}, now)
	}
	return m.done()
}

// behind returns the addresses that can be asked for a claim: itself, or for a MAC
// address those behind it.
func (b *container) behind(c *claim) []*claim {
	if c.Addr.IsValid() {
		return []*claim{c}
	}
	var out []*claim
	for _, a := range b.sorted() {
		if a.Addr.IsValid() && a.granted && a.MAC == c.MAC {
			out = append(out, a)
		}
	}
	return out
}

// Answered says that a container has answered for an address that it has claimed.
func (m *Machine) Answered(c Claim, now time.Time) []Effect {
	if b := m.taken[c.Key()]; b != nil {
		if mine := b.claims[c.Key()]; mine != nil && mine.granted && mine.MAC == c.MAC {
			m.answered(b, mine, now)
		}
	}
	return m.done()
}

// answered notes that a container uses a claim, which keeps it.
func (m *Machine) answered(b *container, c *claim, now time.Time) {
	if !c.granted {
		return
	}
	c.used = now
	m.keep(b, c)
	if mac := b.claims[Key{MAC: c.MAC}]; c.Addr.IsValid() && mac != nil && mac.granted {
		mac.used = now
		m.keep(b, mac)
	}
}

// keep ends a question: those that wait get the answer.
func (m *Machine) keep(b *container, c *claim) {
	if c.question == nil {
		return
	}
	for _, r := range c.question.rivals {
		if r.Container == "" {
			m.emit(Kept{Node: r.Node, Key: c.Key(), Holder: b.party()})
		}
	}
	c.question = nil
}

// questions goes on with what containers are asked.
func (m *Machine) questions(now time.Time) {
	for _, id := range m.ids() {
		b := m.containers[id]
		for _, c := range b.sorted() {
			if q := c.question; q != nil && b.claims[c.Key()] == c {
				m.question(b, c, q, now)
			}
		}
	}
}

func (m *Machine) question(b *container, c *claim, q *question, now time.Time) {
	for q.sent < asks && !now.Before(q.next()) {
		q.sent++
		for _, a := range b.behind(c) {
			m.emit(Probe{Container: b.id, Claim: a.Claim})
		}
	}
	if now.Before(q.began.Add(askFor)) {
		return
	}
	if len(q.rivals) > 0 && !c.Addr.IsValid() && !isVRRP(c.MAC) {
		m.keep(b, c) // a station behind it may be silent; it goes when it is not used
		return
	}
	rivals := q.rivals
	m.withdraw(b, c, now)
	for _, r := range rivals {
		if other := m.containers[r.Container]; other != nil {
			m.advance(other, now)
		}
	}
	m.retry(now)
}

// idle asks for what was not used for long.
func (m *Machine) idle(now time.Time) {
	for _, id := range m.ids() {
		b := m.containers[id]
		look := false
		for _, c := range b.sorted() {
			if c.granted && c.question == nil && !c.looking && now.Sub(c.used) >= idleAfter {
				c.looking, look = true, true
			}
		}
		if look {
			m.emit(Look{Container: id})
		}
	}
}

// Looked says which of its claims a container has used since the last look, as far as the
// switch counts that.
func (m *Machine) Looked(id string, used []Key, now time.Time) []Effect {
	b := m.containers[id]
	if b == nil {
		return m.done()
	}
	for _, k := range used {
		if c := b.claims[k]; c != nil && c.granted {
			c.used = now
		}
	}
	for _, c := range b.sorted() {
		if !c.looking {
			continue
		}
		c.looking = false
		if c.granted && now.Sub(c.used) >= idleAfter && c.question == nil {
			m.ask(c, nil, now)
		}
	}
	return m.done()
}
