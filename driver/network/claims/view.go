package claims

import "time"

// Shown is what the status shows of one claim of a container.
type Shown struct {
	Claim
	Since time.Time
	// Cause says why it is refused, Holder who holds it.
	Cause  Cause
	Holder Holder
	// Rival announces what the container holds, since when it was last.
	Rival   Rival
	RivalAt time.Time // zero: nobody does
}

// Wanted returns how many claims were refused and are tried again.
func (m *Machine) Wanted() int {
	n := 0
	for _, b := range m.containers {
		for _, c := range b.claims {
			if c.refused != 0 && !c.granted {
				n++
			}
		}
	}
	return n
}

// Show returns the claims of a container: those that it has and those that were refused.
func (m *Machine) Show(id string, now time.Time) []Shown {
	b := m.containers[id]
	if b == nil {
		return nil
	}
	var out []Shown
	for _, c := range b.sorted() {
		s := Shown{Claim: c.Claim, Since: c.since, Cause: c.refused, Holder: c.holder}
		switch {
		case c.granted:
			s.Cause = 0
			if !c.rivalAt.IsZero() && now.Sub(c.rivalAt) < showFor {
				s.Rival, s.RivalAt = c.rival, c.rivalAt
			}
		case c.refused == 0:
			continue
		}
		out = append(out, s)
	}
	return out
}
