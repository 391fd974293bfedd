package session

import (
	"context"
	"net/netip"
	"time"

	"evio/datapath/session/connect"
)

// rentedRelay takes the allocation, nil if there is none to have.
func (m *pilot) rentedRelay(r relay) {
	if r == nil {
		m.hired.stop()
		m.hired, m.rentNext = nil, m.s.transport.now()+connect.TURNRetry
		return
	}
	m.rented, m.relaying = r, m.s.transport.now()
	m.tell(m.telling.Candidates)
	m.do(m.paths.SetTURN(m.relaying, r.Addr()))
}

// lostRelay looks for another way when the allocation is gone, also through
// another server.
func (m *pilot) lostRelay(ctx context.Context) {
	now := m.s.transport.now()
	m.hired.stop()
	m.hired, m.rented = nil, nil
	m.do(m.paths.SetTURN(now, netip.AddrPort{}))
	if m.paths.Current.TURN {
		m.alive.Restart(now)
		m.hired = m.s.rent(ctx, m.paths.Known)
	}
}

// missesRelay tells whether the path leads by a relay that was lost, and no other is
// asked for.
func (m *pilot) missesRelay() bool {
	return m.hired == nil && m.paths.Current.TURN
}

// leaving tells whether there is a relay that is not used.
func (m *pilot) leaving() bool { return m.rented != nil && !m.paths.Current.TURN }

// heard is when the relay was of use last.
func (m *pilot) heard() time.Duration {
	return max(m.relaying, time.Duration(m.s.relayHeard.Load()))
}

// leave gives the relay back. The pool keeps it for those who are still on the way.
func (m *pilot) leave() {
	m.hired.stop()
	m.hired, m.rented = nil, nil
	m.do(m.paths.SetTURN(m.s.transport.now(), netip.AddrPort{}))
	m.tell(m.telling.Candidates)
}
