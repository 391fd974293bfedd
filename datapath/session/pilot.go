package session

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"time"

	"evio/datapath/drops"
	"evio/datapath/record"
)

// event is what the reader tells the owner of an established session.
type event struct {
	kind       eventKind
	route      route
	at         time.Duration
	took       time.Duration // answer: since its request
	sequence   uint32        // candidates, receipt
	candidates []Candidate
	token      uint64 // sizeCame
}

type eventKind uint8

const (
	foreignRecord  eventKind = iota // a valid record came by another route
	probeAnswer                     // an answer came by the route of its request
	peerCandidates                  // the peer tells new ones
	receipt                         // of our candidates
	sizeCame                        // a large probe was answered
)

// maxEvents is how many events wait: the answers to one search.
const maxEvents = 2 * maxPairs

// pilot carries out what the machines of an established session decide: which path
// it takes, whether the peer lives, what the peer is told. The session's owner
// drives it.
type pilot struct {
	s        *Session
	paths    paths
	alive    liveness
	sizes    sizing
	telling  telling
	answered time.Duration // when the last answer on the path came
	hearing  hearing       // of the peer's candidates

	hired    *tenant // share in a relay, or the attempt to get one
	rented   relay   // the relay, once there
	relaying time.Duration
	rentNext time.Duration // when a lost relay is asked for again

	gathered chan found // capacity 1
	again    bool       // the addresses have changed since it began
	cancel   context.CancelFunc
}

// newPilot takes over the path that was found, and the relay.
func newPilot(s *Session, peer []Candidate, hired *tenant, rented relay) *pilot {
	now, p := s.transport.now(), s.path.Load()
	m := &pilot{s: s, hired: hired, rented: rented, relaying: now, alive: liveness{next: now}}
	m.paths.hosts, m.paths.known = s.hosts, peer
	m.telling.candidates = s.candidates()
	if rented != nil {
		m.paths.relay = rented.Addr()
		m.telling.repeat(now) // the peer may not have been told that the address is a relay's
	} else {
		m.hired.stop() // too late, or refused
		m.hired = nil
	}
	m.paths.begin(now, p.route)
	m.sizes.full = s.full
	m.sizes.restart(now)
	return m
}

// close gives back what the pilot holds.
func (m *pilot) close() {
	m.hired.stop()
	if m.gathered != nil {
		m.cancel()
		<-m.gathered
	}
}

// next is when tick is due.
func (m *pilot) next() time.Duration {
	next := min(m.alive.next, m.sizes.next)
	if at, due := m.paths.next(m.grace()); due {
		next = min(next, at)
	}
	if m.telling.waiting {
		next = min(next, m.telling.next)
	}
	if m.hearing.waiting {
		next = min(next, m.hearing.next())
	}
	if m.leaving() {
		next = min(next, m.heard()+relayRest)
	}
	if m.missesRelay() {
		next = min(next, m.rentNext)
	}
	return next
}

// tick does what is due. It returns false when the peer is dead.
func (m *pilot) tick(ctx context.Context) bool {
	now := m.s.transport.now()
	if now >= m.alive.next {
		received := time.Duration(m.s.lastReceived.Load())
		switch m.alive.tick(now, m.answered, received, m.s.pinger.roundTrip()) {
		case dead:
			return false
		case probe:
			m.s.sendProbe()
		case missing:
			m.suspect()
			m.do(m.paths.missed(now))
		case rest:
		}
	}
	if at, due := m.paths.next(m.grace()); due && now >= at {
		orders := m.paths.tick(now, m.grace())
		m.do(orders)
		if len(orders.challenge) > 0 {
			m.s.transport.reflexive.drop() // NATs forget mappings that are not used
			m.gather(ctx)
		}
	}
	if now >= m.sizes.next {
		m.askSize(now)
	}
	if m.telling.tick(now) {
		m.s.sendOwn(m.s.keys.sending(), Probe, func(dst []byte) []byte {
			return appendCandidates(dst, m.telling.sequence, m.telling.candidates)
		})
	}
	if m.leaving() && now >= m.heard()+relayRest {
		m.leave()
	}
	if m.missesRelay() && now >= m.rentNext {
		m.hired = m.s.rent(ctx, m.paths.known)
	}
	m.hear(now)
	return true
}

// askSize asks whether the path takes large records, if it is time. A small probe goes
// along, which tells a path that takes none from one that takes nothing.
func (m *pilot) askSize(now time.Duration) {
	token := rand.Uint64() | 1 //nolint:gosec // tells answers apart, hides nothing
	size, lost := m.sizes.tick(now, m.answered, m.s.pinger.roundTrip(), m.s.large.Swap(false), token)
	if lost {
		m.s.drops.Add(drops.PathSize)
	}
	if size > 0 {
		m.s.sendProbe()
		m.s.askSize(token, size)
	}
	m.limit()
	if size > 0 && m.sizes.level > 0 { // the peer, which may send nothing large, shall find out too
		m.s.sendOwn(m.s.keys.sending(), Probe, func(dst []byte) []byte { return append(dst, opNarrow) })
	}
}

// limit makes records as large as the path takes them.
func (m *pilot) limit() {
	limit := m.sizes.limit()
	switch before := int(m.s.limit.Swap(int32(limit))); {
	case limit < before && before == record.MaxSize:
		m.s.log.Warnf("the path takes no records of %d bytes: they are cut smaller", m.s.full)
	case limit > before:
		m.s.log.Info("the path takes full records again")
	}
}

// handle takes an event of the reader.
func (m *pilot) handle(e event) {
	now := m.s.transport.now()
	switch e.kind {
	case foreignRecord:
		m.do(m.paths.foreign(now, e.route))
	case probeAnswer:
		if e.route == m.paths.current {
			m.answered = max(m.answered, e.at)
		}
		m.do(m.paths.answered(now, e.took, m.grace(), e.route))
	case receipt:
		m.telling.received(e.sequence)
	case sizeCame:
		m.sizes.answer(now, e.token)
		m.limit()
	case peerCandidates:
		if m.hearing.hear(e.sequence, e.candidates) {
			m.s.limited()
		}
		m.hear(now)
	}
}

// hear takes the peer's candidates, if there are new ones and it is time.
func (m *pilot) hear(now time.Duration) {
	if !m.hearing.tick(now) {
		return
	}
	m.s.setPeer(m.hearing.candidates)
	m.do(m.paths.setKnown(now, m.hearing.candidates))
	if m.hired != nil {
		m.hired.permit(m.hearing.candidates)
	}
	m.place(m.s.path.Load().slot)
}

// readdress lists the own addresses again, and asks for what NATs show of them.
func (m *pilot) readdress(ctx context.Context) {
	if hosts, err := m.s.transport.listHosts(); err == nil {
		m.setHosts(hosts)
	}
	m.again = m.gathered != nil
	m.gather(ctx)
}

func (m *pilot) setHosts(hosts []netip.AddrPort) {
	now, before := m.s.transport.now(), m.paths.lost
	m.do(m.paths.setHosts(now, hosts))
	if m.paths.lost && !before {
		m.alive.restart(now)
	}
}

// suspect is called when the peer does not answer: what was known of NATs and of
// the relay may be true no more.
func (m *pilot) suspect() {
	m.s.transport.reflexive.drop()
	if m.paths.current.relayed {
		m.s.transport.relays.Suspect()
	}
}

// gather finds the own candidates anew, unless that is under way.
func (m *pilot) gather(ctx context.Context) {
	if m.gathered != nil {
		return
	}
	ctx, m.cancel = context.WithTimeout(ctx, gatherTimeout)
	result := make(chan found, 1)
	m.gathered = result
	go func() { result <- m.s.transport.candidates(ctx) }() // joined by regathered or close
}

// regathered takes what gather has found, unless it was too early.
func (m *pilot) regathered(ctx context.Context, f found) {
	m.cancel()
	m.gathered = nil
	if m.again {
		m.again = false
		m.gather(ctx)
		return
	}
	if f.err != nil {
		return
	}
	m.setHosts(f.hosts)
	m.tell(f.all)
}

// tell tells the peer the own candidates, the relayed one among them.
func (m *pilot) tell(candidates []Candidate) {
	candidates = withoutRelay(candidates)
	if m.rented != nil {
		candidates = withRelay(candidates, m.rented.Addr())
	}
	m.s.setCandidates(candidates)
	m.telling.tell(m.s.transport.now(), candidates)
}

func (m *pilot) grace() time.Duration { return grace(m.s.pinger.roundTrip()) }

// do carries out orders.
func (m *pilot) do(o orders) {
	if o.limited {
		m.s.limited()
	}
	keys := m.s.keys.sending()
	for _, r := range o.challenge {
		if p := m.pathFor(r, m.nextSlot()); p != nil {
			m.s.challenge(p, keys)
		}
	}
	if !o.move {
		return
	}
	now := m.s.transport.now()
	m.s.pinger.restart(o.took)
	m.s.moves.Add(1)
	m.place(m.nextSlot())
	m.answered, m.relaying = now, now
	m.alive.restart(now)
	m.sizes.restart(now)
	m.limit()
	p := m.s.path.Load()
	m.s.log.WithField("path", p.kind()).Infof("session has moved to %s → %s", p.local, p.remote)
}

// place makes the path of the current route in a slot the session's.
func (m *pilot) place(slot int) {
	if p := m.pathFor(m.paths.current, slot); p != nil {
		m.s.path.Store(p)
	}
}

// nextSlot is that of all paths but the current one. Each slot has numbers and a
// replay window of its own: however the delays differ, nothing is taken for old
// when the path moves.
func (m *pilot) nextSlot() int { return (m.s.path.Load().slot + 1) % record.Slots }

// pathFor returns the path of a route, nil if its own end is gone.
func (m *pilot) pathFor(r route, slot int) *path {
	if current := m.s.path.Load(); r == current.route && r == m.paths.current {
		slot = current.slot
	}
	p := &path{route: r, slot: slot, remoteType: m.paths.typeOf(r.remote)}
	switch {
	case !r.relayed:
		p.out = m.s.transport.host(r.local)
	case m.rented != nil && m.rented.Addr() == r.local:
		p.out = m.rented
	default:
		return nil
	}
	return p
}
