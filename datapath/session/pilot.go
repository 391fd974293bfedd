package session

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"time"

	"evio/datapath/drops"
	"evio/datapath/record"
	"evio/datapath/session/connect"
	"evio/datapath/session/path"
)

// event is what the reader tells the owner of an established session.
type event struct {
	kind       eventKind
	route      path.Route
	at         time.Duration
	took       time.Duration // answer: since its request
	sequence   uint32        // candidates, receipt
	candidates []path.Candidate
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
const maxEvents = 2 * path.MaxPairs

// pilot carries out what the machines of an established session decide: which path
// it takes, whether the peer lives, what the peer is told. The session's owner
// drives it.
type pilot struct {
	s        *Session
	paths    path.Selector
	alive    path.Liveness
	sizes    path.SizeSearch
	telling  path.CandidateSender
	answered time.Duration          // when the last answer on the path came
	hearing  path.CandidateReceiver // of the peer's candidates

	hired    *tenant // share in a relay, or the attempt to get one
	rented   relay   // the relay, once there
	relaying time.Duration
	rentNext time.Duration // when a lost relay is asked for again

	gathered chan connect.Gathered // capacity 1
	again    bool                  // the addresses have changed since it began
	cancel   context.CancelFunc
}

// newPilot takes over the path that was found, and the relay.
func newPilot(s *Session, peer []path.Candidate, hired *tenant, rented relay) *pilot {
	now, p := s.transport.now(), s.path.Load()
	m := &pilot{s: s, hired: hired, rented: rented, relaying: now, alive: path.Liveness{Next: now}}
	m.paths.Hosts, m.paths.Known = s.hosts, peer
	m.telling.Candidates = s.candidates()
	if rented != nil {
		m.paths.TURN = rented.Addr()
		m.telling.Repeat(now) // the peer may not have been told that the address is a relay's
	} else {
		m.hired.stop() // too late, or refused
		m.hired = nil
	}
	m.paths.Begin(now, p.Route)
	m.sizes.Full = s.full
	m.sizes.Restart(now)
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
	next := min(m.alive.Next, m.sizes.Next)
	if at, due := m.paths.Next(m.grace()); due {
		next = min(next, at)
	}
	if m.telling.Waiting {
		next = min(next, m.telling.Next)
	}
	if m.hearing.Waiting {
		next = min(next, m.hearing.Next())
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
	if now >= m.alive.Next {
		received := time.Duration(m.s.lastReceived.Load())
		switch m.alive.Tick(now, m.answered, received, m.s.pinger.RoundTrip()) {
		case path.Dead:
			return false
		case path.Probe:
			m.s.sendProbe()
		case path.Missing:
			m.suspect()
			m.do(m.paths.Missed(now))
		case path.Rest:
		}
	}
	if at, due := m.paths.Next(m.grace()); due && now >= at {
		orders := m.paths.Tick(now, m.grace())
		m.do(orders)
		if len(orders.Challenge) > 0 {
			m.s.transport.gatherer.Forget() // NATs forget mappings that are not used
			m.gather(ctx)
		}
	}
	if now >= m.sizes.Next {
		m.askSize(now)
	}
	if m.telling.Tick(now) {
		m.s.sendOwn(m.s.keys.Sending(), Probe, func(dst []byte) []byte {
			return path.AppendCandidates(dst, m.telling.Sequence, m.telling.Candidates)
		})
	}
	if m.leaving() && now >= m.heard()+relayRest {
		m.leave()
	}
	if m.missesRelay() && now >= m.rentNext {
		m.hired = m.s.rent(ctx, m.paths.Known)
	}
	m.hear(now)
	return true
}

// askSize asks whether the path takes large records, if it is time. A small probe goes
// along, which tells a path that takes none from one that takes nothing.
func (m *pilot) askSize(now time.Duration) {
	token := rand.Uint64() | 1 //nolint:gosec // tells answers apart, hides nothing
	size, lost := m.sizes.Tick(now, m.answered, m.s.pinger.RoundTrip(), m.s.large.Swap(false), token)
	if lost {
		m.s.drops.Add(drops.PathSize)
	}
	if size > 0 {
		m.s.sendProbe()
		m.s.askSize(token, size)
	}
	m.limit()
	if size > 0 && m.sizes.Level > 0 { // the peer, which may send nothing large, shall find out too
		m.s.sendOwn(m.s.keys.Sending(), Probe, func(dst []byte) []byte { return append(dst, path.OpNarrow) })
	}
}

// limit makes records as large as the path takes them.
func (m *pilot) limit() {
	limit := m.sizes.Limit()
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
		m.do(m.paths.ForeignRecord(now, e.route))
	case probeAnswer:
		if e.route == m.paths.Current {
			m.answered = max(m.answered, e.at)
		}
		m.do(m.paths.Answered(now, e.took, m.grace(), e.route))
	case receipt:
		m.telling.Received(e.sequence)
	case sizeCame:
		m.sizes.Answer(now, e.token)
		m.limit()
	case peerCandidates:
		if m.hearing.Receive(e.sequence, e.candidates) {
			m.s.limited()
		}
		m.hear(now)
	}
}

// hear takes the peer's candidates, if there are new ones and it is time.
func (m *pilot) hear(now time.Duration) {
	if !m.hearing.Tick(now) {
		return
	}
	m.s.setPeer(m.hearing.Candidates)
	m.do(m.paths.SetKnown(now, m.hearing.Candidates))
	if m.hired != nil {
		m.hired.permit(m.hearing.Candidates)
	}
	m.place(m.s.path.Load().slot)
}

// readdress lists the own addresses again, and asks for what NATs show of them.
func (m *pilot) readdress(ctx context.Context) {
	if hosts, err := m.s.transport.gatherer.Hosts(); err == nil {
		m.setHosts(hosts)
	}
	m.again = m.gathered != nil
	m.gather(ctx)
}

func (m *pilot) setHosts(hosts []netip.AddrPort) {
	now, before := m.s.transport.now(), m.paths.Lost
	m.do(m.paths.SetHosts(now, hosts))
	if m.paths.Lost && !before {
		m.alive.Restart(now)
	}
}

// suspect is called when the peer does not answer: what was known of NATs and of
// the relay may be true no more.
func (m *pilot) suspect() {
	m.s.transport.gatherer.Forget()
	if m.paths.Current.TURN {
		m.s.transport.relays.Suspect()
	}
}

// gather finds the own candidates anew, unless that is under way.
func (m *pilot) gather(ctx context.Context) {
	if m.gathered != nil {
		return
	}
	ctx, m.cancel = context.WithTimeout(ctx, connect.GatherTimeout)
	result := make(chan connect.Gathered, 1)
	m.gathered = result
	go func() { result <- m.s.transport.gatherer.Gather(ctx) }() // joined by regathered or close
}

// regathered takes what gather has found, unless it was too early.
func (m *pilot) regathered(ctx context.Context, f connect.Gathered) {
	m.cancel()
	m.gathered = nil
	if m.again {
		m.again = false
		m.gather(ctx)
		return
	}
	if f.Err != nil {
		return
	}
	m.setHosts(f.Hosts)
	m.tell(f.Candidates)
}

// tell tells the peer the own candidates, the relayed one among them.
func (m *pilot) tell(candidates []path.Candidate) {
	candidates = path.WithoutTURN(candidates)
	if m.rented != nil {
		candidates = path.WithTURN(candidates, m.rented.Addr())
	}
	m.s.setCandidates(candidates)
	m.telling.Offer(m.s.transport.now(), candidates)
}

func (m *pilot) grace() time.Duration { return path.Grace(m.s.pinger.RoundTrip()) }

// do carries out orders.
func (m *pilot) do(o path.Orders) {
	if o.Limited {
		m.s.limited()
	}
	keys := m.s.keys.Sending()
	for _, r := range o.Challenge {
		if p := m.pathFor(r, m.nextSlot()); p != nil {
			m.s.challenge(p, keys)
		}
	}
	if !o.Move {
		return
	}
	now := m.s.transport.now()
	m.s.pinger.Restart(o.Took)
	m.s.moves.Add(1)
	m.place(m.nextSlot())
	m.answered, m.relaying = now, now
	m.alive.Restart(now)
	m.sizes.Restart(now)
	m.limit()
	p := m.s.path.Load()
	m.s.log.WithField("path", p.kind()).Infof("session has moved to %s → %s", p.Local, p.Remote)
}

// place makes the path of the current route in a slot the session's.
func (m *pilot) place(slot int) {
	if p := m.pathFor(m.paths.Current, slot); p != nil {
		m.s.path.Store(p)
	}
}

// nextSlot is that of all paths but the current one. Each slot has numbers and a
// replay window of its own: however the delays differ, nothing is taken for old
// when the path moves.
func (m *pilot) nextSlot() int { return (m.s.path.Load().slot + 1) % record.Slots }

// pathFor returns the path of a route, nil if its own end is gone.
func (m *pilot) pathFor(r path.Route, slot int) *boundPath {
	if current := m.s.path.Load(); r == current.Route && r == m.paths.Current {
		slot = current.slot
	}
	p := &boundPath{Route: r, slot: slot, remoteType: m.paths.TypeOf(r.Remote)}
	switch {
	case !r.TURN:
		p.out = m.s.transport.host(r.Local)
	case m.rented != nil && m.rented.Addr() == r.Local:
		p.out = m.rented
	default:
		return nil
	}
	return p
}
