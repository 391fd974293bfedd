package member

import "time"

// stage is what the age of a list of members means.
type stage uint8

const (
	fresh   stage = iota
	ageing        // an operator should look after it
	expired       // it vouches for nobody
)

// longestUntold is the age from which a list is ageing whatever age it may have.
const longestUntold = 24 * time.Hour

// limits are the ages at which a list is ageing and at which it is expired; 0: never.
type limits struct{ ageing, expired time.Duration }

// limitsOf returns the limits of a list that may have an age; 0: any.
func limitsOf(most time.Duration) limits {
	if most == 0 {
		return limits{ageing: longestUntold}
	}
	return limits{ageing: min(most/4, longestUntold), expired: most}
}

// stage returns what an age means.
func (l limits) stage(age time.Duration) stage {
	switch {
	case l.expired > 0 && age >= l.expired:
		return expired
	case age >= l.ageing:
		return ageing
	}
	return fresh
}

// next returns how long a list of an age stays in its stage; ok is false where that is
// for ever.
func (l limits) next(age time.Duration) (left time.Duration, ok bool) {
	switch s := l.stage(age); {
	case s == fresh:
		return l.ageing - age, true
	case s == ageing && l.expired > 0:
		return l.expired - age, true
	}
	return 0, false
}

// keepEvery is how often the ledger notes that a list is complete: after a restart its age
// is at most that much too high.
func (l limits) keepEvery() time.Duration {
	return min(max(l.ageing/8, time.Second), 10*time.Minute)
}
