package rekey

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// model is two machines with abstract handshakes between them: flights 1 to 4. The odd
// ones are the lower end's. Records are lost and late at random. In each rekey one flight,
// or the probes, are held back for long, by someone who knows which record is which.
type model struct {
	now  time.Duration
	ends [2]*modelEnd // lower, higher
	sent []modelRecord
	fate func(n int) int // 0 to n-1

	held  int           // flight, or modelProbe
	until time.Duration // when what is held back arrives, if it is not lost
	loses bool
}

const (
	modelProbe = 5
	calm       = 4 * time.Minute // from here on nothing is lost or held back
)

type modelEnd struct {
	machine  *Machine
	flight   int           // last flight sent in the rekey that goes on, 0 for none
	repeat   time.Duration // when it is sent again
	heard    time.Duration
	beat     time.Duration
	begun    []uint32
	switches int
}

type modelRecord struct {
	at     time.Duration
	to     int
	under  uint32 // rekey of the keys
	flight int    // or modelProbe, or 0 for anything else
	id     uint32
}

func (m *model) send(from int, under uint32, flight int) {
	at := m.now + time.Duration(10+m.fate(300))*time.Millisecond
	if m.now < calm && flight != 0 && flight == m.held && m.now < m.until {
		if m.loses {
			return
		}
		at = max(at, m.until)
	}
	if m.fate(10) > 1 || m.now > calm {
		m.sent = append(m.sent, modelRecord{at, 1 - from, under, flight, m.ends[from].machine.Newest})
	}
}

func (m *model) work(who int, effects []Effect) {
	e := m.ends[who]
	for _, effect := range effects {
		switch effect {
		case Begin:
			e.begun = append(e.begun, e.machine.Newest)
			e.flight = 0
			if who == 0 {
				m.held, m.loses = m.fate(modelProbe+2), m.fate(2) == 0
				m.until = m.now + time.Duration(m.fate(60000))*time.Millisecond
				m.fly(who, 1)
			}
		case Stop:
			e.flight = 0
		case Expire:
			e.flight = 0
			m.work(who, e.machine.Failed(m.now))
		case Probe:
			m.send(who, e.machine.pending, modelProbe)
		default: // the machine keeps what the ring would
		}
	}
}

func (m *model) fly(who, flight int) {
	e := m.ends[who]
	e.flight, e.repeat = flight, m.now+250*time.Millisecond
	m.send(who, e.machine.Current, flight)
}

func (m *model) receive(r modelRecord) {
	e := m.ends[r.to]
	k := e.machine
	switch r.under {
	case k.Current, k.previous:
	case k.pending:
		e.switches++
		m.work(r.to, k.Confirmed(m.now))
	default:
		return // does not open
	}
	e.heard = m.now
	if r.flight == 0 || r.flight == modelProbe {
		return
	}
	work, taken := k.Flight(r.id, m.now)
	m.work(r.to, work)
	if !taken {
		return
	}
	switch {
	case r.flight == e.flight+1 || r.to == 1 && e.flight == 0 && r.flight == 1:
		if r.flight < 4 {
			m.fly(r.to, r.flight+1)
		}
		if r.flight >= 3 && k.phase == handshaking {
			m.work(r.to, k.Done(m.now))
		}
	case r.flight < e.flight && r.to == 1: // the lower repeats: it has not heard
		m.fly(1, e.flight)
	}
}

// alive reports whether both ends still hear each other.
func (m *model) alive() bool {
	return m.now-min(m.ends[0].heard, m.ends[1].heard) < 4*time.Second
}

func (m *model) step() {
	m.now += 10 * time.Millisecond
	for who, e := range m.ends {
		if m.now >= e.machine.Next() {
			m.work(who, e.machine.Tick(m.now))
		}
		if who == 0 && e.machine.phase == handshaking && e.flight != 0 && m.now >= e.repeat {
			m.fly(who, e.flight)
		}
		if m.now >= e.beat {
			e.beat = m.now + 300*time.Millisecond
			m.send(who, e.machine.Current, 0)
		}
	}
	due := slices.IndexFunc(m.sent, func(r modelRecord) bool { return r.at <= m.now })
	for ; due >= 0; due = slices.IndexFunc(m.sent, func(r modelRecord) bool { return r.at <= m.now }) {
		r := m.sent[due]
		m.sent = slices.Delete(m.sent, due, due+1)
		m.receive(r)
	}
}

// TestEndsNeverLoseEachOther: whatever is lost and late, each end can open what the
// other sends, and no generation is used twice.
func TestEndsNeverLoseEachOther(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		random := rapid.Uint64().Draw(t, "seed")
		m := &model{fate: func(n int) int {
			random = random*6364136223846793005 + 1442695040888963407
			return int(random>>33) % n
		}}
		every := time.Duration(rapid.IntRange(200, 40000).Draw(t, "every")) * time.Millisecond
		m.ends = [2]*modelEnd{{machine: New(true, every, 0)}, {machine: New(false, every, 0)}}
		before := 0
		for m.now < calm+2*time.Minute && m.alive() {
			if m.now < calm {
				before = m.ends[0].switches
			}
			m.step()
			lower, higher := m.ends[0].machine, m.ends[1].machine
			if c := higher.Current; c != lower.Current && c != lower.pending && c != lower.previous {
				t.Fatalf("at %v: the higher end sends under %d, the lower has %+v", m.now, c, lower)
			}
			if c := lower.Current; c != higher.Current && c != higher.pending && c != higher.previous {
				t.Fatalf("at %v: the lower end sends under %d, the higher has %+v", m.now, c, higher)
			}
		}
		for _, e := range m.ends {
			if !slices.IsSorted(e.begun) || len(slices.Compact(slices.Clone(e.begun))) != len(e.begun) {
				t.Fatalf("rekeys began as %v", e.begun)
			}
		}
		if m.alive() && m.ends[0].switches == before {
			t.Fatalf("keys were never replaced, lower %+v, higher %+v", m.ends[0].machine, m.ends[1].machine)
		}
	})
}
