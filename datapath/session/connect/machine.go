package connect

import (
	"math"
	"time"
)

const (
	// Timeout is how long the ends have to establish a session once both know each other's
	// parameters.
	Timeout = 15 * time.Second
	// maxTime is the same in all, if the peer's candidates change meanwhile.
	maxTime = 20 * time.Second
	// confirmInterval is the time between two probes until the peer confirms the keys.
	confirmInterval = 200 * time.Millisecond
	// TURNAfter is how long direct routes have before a TURN server is asked for.
	TURNAfter = 3 * time.Second
	// TURNRetry is the time between attempts to get an allocation. The pool leaves out
	// servers that have failed by itself.
	TURNRetry = time.Second

	never = time.Duration(math.MaxInt64)
)

// Machine leads a session from the first parameters of the peer to common keys. It is a
// pure machine: the owner calls its methods with the time, carries out the effects they
// return, and calls Tick at the time Next returns. The owner drops it once a record of the
// peer has confirmed the keys.
//
//	idle ─Connect─> searching, handshake ─Keyed─> confirming: a probe every 200 ms
//	                   ^       │                     │
//	                   └───────┴───── Connect ───────┘
//
// Connect with newer parameters begins a new handshake. The search goes on if the peer's
// credentials are the same, and with it the time it has: 15 s from each Connect, 20 s in
// all. Otherwise it begins anew.
//
// Beside these, an allocation of a TURN server:
//
//	none ─3 s without a path─> acquiring ─TURNReady─> held
//	  ^                           │                    │
//	  └── again in 1 s ─ TURNLost ┴────────────────────┘
type Machine struct {
	hasServers bool // there are TURN servers

	ufrag, password string // of the peer that the search is for, empty: there is no search
	began           time.Duration
	turn            turnState

	deadline time.Duration // when the session is given up
	turnDue  time.Duration // when a TURN server is asked for
	pulse    time.Duration // when the next probe is sent
}

type turnState uint8

const (
	turnNone turnState = iota
	turnAcquiring
	turnHeld
)

// Effect is work for the owner.
type Effect uint8

// Effects. The owner carries them out in the order in which a method returns them.
const (
	StopHandshake  Effect = iota // if there is one
	StartHandshake               // with the newest parameters
	StartSearch                  // for the newest parameters, in place of any that there is
	UpdateSearch                 // with the newest parameters
	AcquireTURN                  // start to get an allocation that the peer's candidates may send to
	PermitTURN                   // let the peer's newest candidates send to the allocation
	ReleaseTURN                  // give back the allocation, or stop getting one
	SearchTURN                   // add the allocation's address to the search
	AnnounceTURN                 // hand over the own parameters, with the allocation's address
	Probe                        // send a probe under the keys
	Expire                       // end the session: there are no path and keys in time
)

// NewMachine returns the machine of a session that has its own parameters. hasServers is
// whether there are TURN servers.
func NewMachine(hasServers bool) *Machine {
	return &Machine{hasServers: hasServers, deadline: never, turnDue: never, pulse: never}
}

// Next returns when Tick is due.
func (m *Machine) Next() time.Duration { return min(m.deadline, m.turnDue, m.pulse) }

// Tick does what is due. found is whether the search is done.
func (m *Machine) Tick(now time.Duration, found bool) (work []Effect) {
	if now >= m.deadline {
		m.deadline = never
		return []Effect{Expire}
	}
	if now >= m.turnDue {
		m.turnDue = never
		if !found {
			m.turn = turnAcquiring
			work = append(work, AcquireTURN)
		}
	}
	if now >= m.pulse {
		work = append(work, m.probe(now)...)
	}
	return work
}

// Connect begins with newer parameters of the peer, which have these credentials.
func (m *Machine) Connect(now time.Duration, ufrag, password string) []Effect {
	work := []Effect{StopHandshake}
	if m.ufrag == ufrag && m.password == password {
		m.deadline = now + min(Timeout, maxTime-(now-m.began))
		work = append(work, UpdateSearch)
	} else {
		m.ufrag, m.password = ufrag, password
		m.began, m.deadline = now, now+Timeout
		work = append(work, StartSearch)
		if m.turn == turnHeld {
			work = append(work, SearchTURN)
		}
		if m.turn == turnNone && m.hasServers {
			m.turnDue = now + TURNAfter
		}
	}
	if m.turn != turnNone {
		work = append(work, PermitTURN)
	}
	return append(work, StartHandshake)
}

// TURNReady is called when there is an allocation.
func (m *Machine) TURNReady() []Effect {
	m.turn = turnHeld
	return []Effect{SearchTURN, AnnounceTURN}
}

// TURNLost is called when there is no allocation to be had, or it is lost. The search for
// direct routes goes on.
func (m *Machine) TURNLost(now time.Duration) []Effect {
	m.turn, m.turnDue = turnNone, now+TURNRetry
	return []Effect{ReleaseTURN}
}

// Keyed is called when the newest handshake has made keys.
func (m *Machine) Keyed(now time.Duration) []Effect { return m.probe(now) }

func (m *Machine) probe(now time.Duration) []Effect {
	m.pulse = now + confirmInterval
	return []Effect{Probe}
}
