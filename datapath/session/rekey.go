package session

import (
	"math"
	"math/rand/v2"
	"time"
)

const (
	rekeyEvery      = time.Hour        // unless the configuration says otherwise
	rekeyTimeout    = 15 * time.Second // of a handshake, then of the confirmation of its keys
	rekeyRetry      = 30 * time.Second // after a rekey that failed
	rekeySpread     = 20               // one part in so many is taken off waits at random
	rekeyAsk        = 5 * time.Second  // between two askings
	rekeyRest       = 10 * time.Second // that keys serve at least if the peer asks for others
	rekeyEarly      = 4                // the higher end takes part in one that comes by one part in so many of that early
	rekeyConfirm    = 200 * time.Millisecond
	rekeyPersist    = 5 * time.Second // as rekeyConfirm, once rekeyTimeout is over
	previousKeysFor = 30 * time.Second

	never = time.Duration(math.MaxInt64)
)

// rekeying decides when the keys of an established session are replaced. It is a
// pure machine: the owner calls its methods with the time, carries out what they
// return, and calls tick at the time in next.
//
//	resting ─ the lower: hour, count or asked;    ─> shaking ─ handshake done ─> confirming
//	   ^      the higher: a flight of a new rekey       │                            │
//	   ├──────────── 15 s, or a fault: again in 30 s ───┘      record under the keys │
//	   └─────────────────────────────────────────────────────────────────────────────┘
//
// Rekeys have rising numbers, which the lower end gives. The keys of one have the
// low 8 bits of its number as their generation, and no number is used twice: after
// a rekey that failed at one end only, what the other still holds is of another
// generation than all that follows.
//
// The ends cannot get stuck with different keys. DTLS is done at the higher end
// first, so keys that the lower has, both have. The lower never gives up such keys
// and begins no further rekey until a record under them has come; the higher gives
// them up only for a further rekey, whose flights show that the lower never had
// them. So each end can open what the other sends, whoever switches first. The
// higher end has twice the time for a handshake: it must not lose its keys while
// the lower is still about to get them.
type rekeying struct {
	lower bool
	every time.Duration

	current  uint32 // rekeys that the keys in the ring are of; 0 for the first keys
	pending  uint32 // equal to current: there are none
	previous uint32 // likewise
	newest   uint32 // rekey that has begun last
	phase    rekeyPhase

	due      time.Duration // the lower: when to begin; the higher: when to ask
	earliest time.Duration // that due may be moved to
	open     time.Duration // the higher: when it takes part in a further rekey
	deadline time.Duration // of the phase
	pulse    time.Duration // confirming: next probe
	wiping   time.Duration // when the previous keys are forgotten
	faults   int           // failed rekeys in a row
}

type rekeyPhase uint8

const (
	rekeyResting rekeyPhase = iota
	rekeyShaking
	rekeyConfirming
)

// rekeyEffect is work for the owner.
type rekeyEffect uint8

const (
	rekeyBegin   rekeyEffect = iota // start the handshake of rekey newest
	rekeyExpire                     // stop the handshake and tell how it ended
	rekeyStop                       // end its connection, if there is one
	rekeyProbe                      // send a probe under the pending keys
	rekeyRequest                    // ask the lower end for a rekey
	rekeyForget                     // drop the pending keys
	rekeyWipe                       // drop the previous keys
	rekeyFailed                     // say that a rekey has failed, the first of several
	rekeyHealed                     // say that one has worked again
)

// newRekeying returns the machine of a session whose first keys are in use.
func newRekeying(lower bool, every, now time.Duration) *rekeying {
	m := &rekeying{lower: lower, every: every, deadline: never, pulse: never, wiping: never}
	m.open = now + m.gap()
	m.rest(now)
	return m
}

// rest waits for the end of the time of keys that are new.
func (m *rekeying) rest(now time.Duration) {
	m.phase, m.deadline, m.pulse = rekeyResting, never, never
	m.due, m.earliest = never, now+min(m.every, rekeyRest)
	if m.lower {
		m.due = now + spread(m.every)
	}
}

// next is when tick is due.
func (m *rekeying) next() time.Duration {
	next := min(m.deadline, m.pulse, m.wiping)
	if m.phase == rekeyResting {
		next = min(next, m.due)
	}
	return next
}

// tick does what is due.
func (m *rekeying) tick(now time.Duration) (work []rekeyEffect) {
	if now >= m.wiping {
		m.wiping, m.previous = never, m.current
		work = append(work, rekeyWipe)
	}
	switch {
	case m.phase == rekeyResting && now >= m.due && m.lower:
		m.begin(m.free(), now)
		work = append(work, rekeyBegin)
	case m.phase == rekeyResting && now >= m.due:
		m.due = now + rekeyAsk
		work = append(work, rekeyRequest)
	case m.phase == rekeyShaking && now >= m.deadline:
		m.deadline = never
		work = append(work, rekeyExpire)
	case m.phase == rekeyConfirming && now >= m.deadline:
		work = append(work, m.unconfirmed(now)...)
	case m.phase == rekeyConfirming && now >= m.pulse:
		m.pulse = now + rekeyConfirm
		if m.deadline == never {
			m.pulse = now + rekeyPersist
		}
		work = append(work, rekeyProbe)
	}
	return work
}

// begin starts a rekey.
func (m *rekeying) begin(id uint32, now time.Duration) {
	m.newest, m.phase, m.pulse = id, rekeyShaking, never
	m.deadline = now + rekeyTimeout
	if !m.lower {
		m.deadline += rekeyTimeout
		m.open = now + m.gap()
	}
}

// gap is the time between two rekeys that the higher end takes part in: each is work, and
// lets the peer test a guess of a secret. The lower end keeps a longer one by itself.
func (m *rekeying) gap() time.Duration {
	rest := min(m.every, rekeyRest)
	return rest - rest/rekeyEarly
}

// free returns the number of the next rekey: its generation is in no use.
func (m *rekeying) free() uint32 {
	id := m.newest + 1
	for m.holds(uint8(id)) {
		id++
	}
	return id
}

// holds tells whether keys of the generation are in the ring.
func (m *rekeying) holds(generation uint8) bool {
	return generation == uint8(m.current) || generation == uint8(m.pending) || generation == uint8(m.previous)
}

// flight is called with the number on a flight from the peer. It tells whether the
// flight is for the handshake that goes on, or for the one that this begins.
func (m *rekeying) flight(id uint32, now time.Duration) (work []rekeyEffect, taken bool) {
	if id == m.newest {
		return nil, m.phase != rekeyResting
	}
	if m.lower || id < m.newest || now < m.open {
		return nil, false
	}
	m.pending = m.current
	if m.holds(uint8(id)) {
		return []rekeyEffect{rekeyForget}, false
	}
	m.begin(id, now)
	return []rekeyEffect{rekeyStop, rekeyForget, rekeyBegin}, true
}

// asked is called when the higher end asks for other keys than those of a rekey.
// It returns false if they are replaced already.
func (m *rekeying) asked(id uint32, now time.Duration) bool {
	if !m.lower || id != m.current {
		return false
	}
	m.due = min(m.due, max(now, m.earliest))
	return true
}

// soon is called when the current keys have protected many records.
func (m *rekeying) soon(now time.Duration) { m.due = min(m.due, max(now, m.earliest)) }

// done is called when the handshake has given keys, which are pending now.
func (m *rekeying) done(now time.Duration) []rekeyEffect {
	m.phase, m.pending = rekeyConfirming, m.newest
	m.deadline, m.pulse = now+rekeyTimeout, now+rekeyConfirm
	return []rekeyEffect{rekeyProbe}
}

// failed is called when the handshake has given none.
func (m *rekeying) failed(now time.Duration) []rekeyEffect {
	wanted := m.due != never
	m.rest(now)
	m.earliest = now + spread(rekeyRetry)
	if wanted {
		m.due = m.earliest
	}
	return append([]rekeyEffect{rekeyStop}, m.fault()...)
}

// unconfirmed is called when no record under the pending keys has come for long.
func (m *rekeying) unconfirmed(now time.Duration) []rekeyEffect {
	if !m.lower {
		return m.failed(now) // it may never have had them; they stay until it shows that
	}
	m.deadline, m.pulse = never, now+rekeyPersist
	return append([]rekeyEffect{rekeyStop, rekeyProbe}, m.fault()...)
}

func (m *rekeying) fault() []rekeyEffect {
	if m.faults++; m.faults > 1 {
		return nil
	}
	return []rekeyEffect{rekeyFailed}
}

// confirmed is called when the pending keys have become current.
func (m *rekeying) confirmed(now time.Duration) []rekeyEffect {
	m.previous, m.current = m.current, m.pending
	m.wiping = now + previousKeysFor
	m.rest(now)
	if m.faults == 0 {
		return []rekeyEffect{rekeyStop}
	}
	m.faults = 0
	return []rekeyEffect{rekeyStop, rekeyHealed}
}

// spread takes up to one part in rekeySpread off a wait.
func spread(wait time.Duration) time.Duration {
	return wait - time.Duration(rand.Int64N(int64(wait)/rekeySpread+1)) //nolint:gosec // spreads load, hides nothing
}
