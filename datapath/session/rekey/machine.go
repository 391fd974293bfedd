package rekey

import (
	"math"
	"math/rand/v2"
	"time"
)

// Times of rekeys, docs/PROTOCOL.md (Rekeying).
const (
	DefaultInterval  = time.Hour              // between two rekeys, unless the configuration says otherwise
	HandshakeTimeout = 15 * time.Second       // for a handshake, and then for the confirmation of its keys
	RetryInterval    = 30 * time.Second       // after a rekey that failed
	spreadDivisor    = 20                     // up to this part of a wait is taken off at random
	requestInterval  = 5 * time.Second        // between two requests of the higher end
	MinInterval      = 10 * time.Second       // keys serve this long at least, even if the peer asks for others
	earlyDivisor     = 4                      // the higher end accepts a rekey that comes up to this part of MinInterval early
	confirmInterval  = 200 * time.Millisecond // between two probes under unconfirmed keys
	persistInterval  = 5 * time.Second        // the same, once HandshakeTimeout is over
	PreviousKept     = 30 * time.Second

	// Never is the time of what is not due at all.
	Never = time.Duration(math.MaxInt64)
)

// Machine decides when the keys of an established session are replaced. It is a pure
// machine: the owner calls its methods with the time, carries out the effects they return,
// and calls Tick at the time Next returns.
//
//	resting ─ lower: hour, count or request;     ─> handshaking ─ handshake done ─> confirming
//	   ^      higher: a flight of a new rekey            │                              │
//	   ├─────────── 15 s, or a fault: again in 30 s ─────┘        record under the keys │
//	   └────────────────────────────────────────────────────────────────────────────────┘
//
// The lower end numbers the rekeys, in rising order. The keys of a rekey have the low 8 bits
// of its number as their generation. No number is used twice: if a rekey failed at one end
// only, the keys that the other end still holds are of another generation than all that
// follow.
//
// The ends cannot get stuck with different keys. DTLS is done at the higher end first, so
// if the lower end has keys, both have them. The lower end never gives up such keys, and
// begins no further rekey until a record under them has come. The higher end gives them up
// only for a further rekey, whose flights show that the lower end never had them. So each
// end can open what the other sends, whichever switches first. The higher end has twice the
// time for a handshake, because it must not lose its keys while the lower end is about to
// get them.
type Machine struct {
	lower bool
	every time.Duration

	Current  uint32 // number of the rekey that made the current keys; 0 for the first keys
	pending  uint32 // same of the pending keys; equal to Current if there are none
	previous uint32 // same of the previous keys; equal to Current if there are none
	Newest   uint32 // number of the rekey that has begun last
	phase    phase

	due      time.Duration // lower end: when to begin; higher end: when to ask
	earliest time.Duration // due is never moved before this
	open     time.Duration // higher end: when it accepts a further rekey
	deadline time.Duration // of the phase
	pulse    time.Duration // confirming: when the next probe is due
	wiping   time.Duration // when the previous keys are forgotten
	faults   int           // failed rekeys in a row
}

type phase uint8

const (
	resting phase = iota
	handshaking
	confirming
)

// Effect is work for the owner.
type Effect uint8

// Effects. The owner carries them out in the order in which a method returns them.
const (
	Begin     Effect = iota // start the handshake of rekey Newest
	Expire                  // stop the handshake and report how it ended
	Stop                    // end its connection, if there is one
	Probe                   // send a probe under the pending keys
	Request                 // ask the lower end for a rekey
	Forget                  // drop the pending keys
	Wipe                    // drop the previous keys
	Failed                  // log that a rekey has failed, the first of several
	Recovered               // log that a rekey has worked again
)

// New returns the machine of a session whose first keys are in use. lower is whether this end
// has the lower node ID, and every is the time between two rekeys.
func New(lower bool, every, now time.Duration) *Machine {
	m := &Machine{lower: lower, every: every, deadline: Never, pulse: Never, wiping: Never}
	m.open = now + m.gap()
	m.rest(now)
	return m
}

// rest waits until new keys have served their time.
func (m *Machine) rest(now time.Duration) {
	m.phase, m.deadline, m.pulse = resting, Never, Never
	m.due, m.earliest = Never, now+min(m.every, MinInterval)
	if m.lower {
		m.due = now + spread(m.every)
	}
}

// Next returns when Tick is due.
func (m *Machine) Next() time.Duration {
	next := min(m.deadline, m.pulse, m.wiping)
	if m.phase == resting {
		next = min(next, m.due)
	}
	return next
}

// Tick does what is due.
func (m *Machine) Tick(now time.Duration) (work []Effect) {
	if now >= m.wiping {
		m.wiping, m.previous = Never, m.Current
		work = append(work, Wipe)
	}
	switch {
	case m.phase == resting && now >= m.due && m.lower:
		m.begin(m.free(), now)
		work = append(work, Begin)
	case m.phase == resting && now >= m.due:
		m.due = now + requestInterval
		work = append(work, Request)
	case m.phase == handshaking && now >= m.deadline:
		m.deadline = Never
		work = append(work, Expire)
	case m.phase == confirming && now >= m.deadline:
		work = append(work, m.unconfirmed(now)...)
	case m.phase == confirming && now >= m.pulse:
		m.pulse = now + confirmInterval
		if m.deadline == Never {
			m.pulse = now + persistInterval
		}
		work = append(work, Probe)
	}
	return work
}

// begin starts a rekey.
func (m *Machine) begin(id uint32, now time.Duration) {
	m.Newest, m.phase, m.pulse = id, handshaking, Never
	m.deadline = now + HandshakeTimeout
	if !m.lower {
		m.deadline += HandshakeTimeout
		m.open = now + m.gap()
	}
}

// gap is the least time between two rekeys that the higher end accepts. Each is work, and
// lets the peer test a guess of a secret. The lower end waits longer by itself.
func (m *Machine) gap() time.Duration {
	rest := min(m.every, MinInterval)
	return rest - rest/earlyDivisor
}

// free returns the number of the next rekey, whose generation is not in use.
func (m *Machine) free() uint32 {
	id := m.Newest + 1
	for m.holds(uint8(id)) {
		id++
	}
	return id
}

// holds reports whether keys of the generation are in the ring.
func (m *Machine) holds(generation uint8) bool {
	return generation == uint8(m.Current) || generation == uint8(m.pending) || generation == uint8(m.previous)
}

// Flight takes the number on a flight from the peer. It reports whether the flight is for
// the current handshake, or for one that it begins.
func (m *Machine) Flight(id uint32, now time.Duration) (work []Effect, taken bool) {
	if id == m.Newest {
		return nil, m.phase != resting
	}
	if m.lower || id < m.Newest || now < m.open {
		return nil, false
	}
	m.pending = m.Current
	if m.holds(uint8(id)) {
		return []Effect{Forget}, false
	}
	m.begin(id, now)
	return []Effect{Stop, Forget, Begin}, true
}

// Asked takes the peer's request to replace the keys of a rekey. It returns false if they
// are replaced already.
func (m *Machine) Asked(id uint32, now time.Duration) bool {
	if !m.lower || id != m.Current {
		return false
	}
	m.due = min(m.due, max(now, m.earliest))
	return true
}

// Soon has the keys replaced as soon as may be, because they have protected many records or
// their secret is out of use.
func (m *Machine) Soon(now time.Duration) { m.due = min(m.due, max(now, m.earliest)) }

// Done is called when the handshake has made keys, which are pending now.
func (m *Machine) Done(now time.Duration) []Effect {
	m.phase, m.pending = confirming, m.Newest
	m.deadline, m.pulse = now+HandshakeTimeout, now+confirmInterval
	return []Effect{Probe}
}

// Failed is called when the handshake has failed.
func (m *Machine) Failed(now time.Duration) []Effect {
	wanted := m.due != Never
	m.rest(now)
	m.earliest = now + spread(RetryInterval)
	if wanted {
		m.due = m.earliest
	}
	return append([]Effect{Stop}, m.fault()...)
}

// unconfirmed is called when no record under the pending keys has come for too long.
func (m *Machine) unconfirmed(now time.Duration) []Effect {
	if !m.lower {
		return m.Failed(now) // the lower end may never have had them; they stay until it shows that
	}
	m.deadline, m.pulse = Never, now+persistInterval
	return append([]Effect{Stop, Probe}, m.fault()...)
}

func (m *Machine) fault() []Effect {
	if m.faults++; m.faults > 1 {
		return nil
	}
	return []Effect{Failed}
}

// Confirmed is called when the pending keys have become current.
func (m *Machine) Confirmed(now time.Duration) []Effect {
	m.previous, m.Current = m.Current, m.pending
	m.wiping = now + PreviousKept
	m.rest(now)
	if m.faults == 0 {
		return []Effect{Stop}
	}
	m.faults = 0
	return []Effect{Stop, Recovered}
}

// spread takes up to one part in rekeySpread off a wait.
func spread(wait time.Duration) time.Duration {
	return wait - time.Duration(rand.Int64N(int64(wait)/spreadDivisor+1)) //nolint:gosec // spreads load, hides nothing
}
