package claims

import "time"

// Tick does what is due.
func (m *Machine) Tick(now time.Time) []Effect {
	m.putBack(now)
	m.expire(now)
	m.questions(now)
	m.retry(now)
	m.idle(now)
	for _, id := range m.ids() {
		b := m.containers[id]
		for _, c := range b.sorted() {
			if c.refused != 0 && !c.granted && !c.taking && now.Sub(c.seen) >= showFor {
				delete(b.claims, c.Key())
			}
		}
	}
	return m.done()
}

// NextTick returns the next time at which Tick is needed, zero for none.
func (m *Machine) NextTick() time.Time {
	var next time.Time
	sooner := func(t time.Time) {
		if next.IsZero() || t.Before(next) {
			next = t
		}
	}
	for _, b := range m.containers {
		for _, h := range b.waiting {
			sooner(h.until)
			if !h.after.IsZero() {
				sooner(h.after)
			}
		}
		for _, c := range b.claims {
			switch {
			case c.question != nil:
				at := c.question.began.Add(askFor)
				if c.question.sent < asks {
					at = c.question.next()
				}
				sooner(at)
			case c.granted && !c.looking:
				sooner(c.used.Add(idleAfter))
			case c.refused != 0 && !c.taking && c.retryAt.Before(c.until):
				sooner(c.retryAt)
			case c.refused != 0 && !c.taking:
				sooner(c.seen.Add(showFor))
			}
		}
	}
	return next
}
