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

// pathDriver carries out what the machines of package path decide while a session is
// established: which path it takes, how large its records are, whether the peer is alive,
// which candidates the ends exchange. It also holds the session's TURN allocation. The
// session's owner calls its methods.
type pathDriver struct {
	s        *Session
	selector path.Selector
	liveness path.Liveness
	sizes    path.SizeSearch
	sender   path.CandidateSender
	answered time.Duration          // when the last answer on the path came
	receiver path.CandidateReceiver // of the peer's candidates

	turn       *turnClient // share in a TURN allocation that is there or asked for, otherwise nil
	allocation allocation  // nil until it is there
	turnSince  time.Duration
	turnNext   time.Duration // when an allocation is asked for again after one was lost

	gathered    chan connect.Gathered // capacity 1
	gatherAgain bool                  // the addresses have changed since gathering began
	cancel      context.CancelFunc
}

// newPathDriver takes over the path that was found, and the allocation.
func newPathDriver(s *Session, peer []path.Candidate, turn *turnClient, a allocation) *pathDriver {
	now, p := s.transport.now(), s.path.Load()
	d := &pathDriver{s: s, turn: turn, allocation: a, turnSince: now, liveness: path.Liveness{Next: now}}
	d.selector.Hosts, d.selector.Known = s.hosts, peer
	d.sender.Candidates = s.candidates()
	if a != nil {
		d.selector.TURN = a.Addr()
		d.sender.Repeat(now) // the peer may not know yet that the address is relayed
	} else {
		d.turn.stop() // too late, or refused
		d.turn = nil
	}
	d.selector.Begin(now, p.Route)
	d.sizes.Full = s.full
	d.sizes.Restart(now)
	return d
}

// close gives back what the driver holds.
func (d *pathDriver) close() {
	d.turn.stop()
	if d.gathered != nil {
		d.cancel()
		<-d.gathered
	}
}

// next returns when tick is due.
func (d *pathDriver) next() time.Duration {
	next := min(d.liveness.Next, d.sizes.Next)
	if at, due := d.selector.Next(d.grace()); due {
		next = min(next, at)
	}
	if d.sender.Waiting {
		next = min(next, d.sender.Next)
	}
	if d.receiver.Waiting {
		next = min(next, d.receiver.Next())
	}
	if d.turnIsIdle() {
		next = min(next, d.turnUsed()+turnLinger)
	}
	if d.lacksTURN() {
		next = min(next, d.turnNext)
	}
	return next
}

// tick does what is due. It returns false when the peer is dead.
func (d *pathDriver) tick(ctx context.Context) bool {
	now := d.s.transport.now()
	if now >= d.liveness.Next {
		received := time.Duration(d.s.lastReceived.Load())
		switch d.liveness.Tick(now, d.answered, received, d.s.pinger.RoundTrip()) {
		case path.Dead:
			return false
		case path.Probe:
			d.s.sendProbe(d.s.keys.Sending())
		case path.Missing:
			d.suspect()
			d.do(d.selector.Missed(now))
		case path.Rest:
		}
	}
	if at, due := d.selector.Next(d.grace()); due && now >= at {
		orders := d.selector.Tick(now, d.grace())
		d.do(orders)
		if len(orders.Challenge) > 0 {
			d.s.transport.gatherer.Forget() // NATs forget mappings that are not used
			d.gather(ctx)
		}
	}
	if now >= d.sizes.Next {
		d.askSize(now)
	}
	if d.sender.Tick(now) {
		d.s.sendOwn(Probe, func(dst []byte) []byte {
			return path.AppendCandidates(dst, d.sender.Sequence, d.sender.Candidates)
		})
	}
	if d.turnIsIdle() && now >= d.turnUsed()+turnLinger {
		d.releaseTURN()
	}
	if d.lacksTURN() && now >= d.turnNext {
		d.turn = acquireTURN(ctx, d.s, d.selector.Known)
	}
	d.takeCandidates(now)
	return true
}

// askSize asks whether the path takes large records. A small probe goes along, to tell a path
// that takes no large ones from one that takes nothing.
func (d *pathDriver) askSize(now time.Duration) {
	token := rand.Uint64() | 1 //nolint:gosec // tells answers apart, hides nothing
	size, lost := d.sizes.Tick(now, d.answered, d.s.pinger.RoundTrip(), d.s.large.Swap(false), token)
	if lost {
		d.s.drops.Add(drops.PathSize)
	}
	if size > 0 {
		d.s.sendProbe(d.s.keys.Sending())
		d.s.askSize(token, size)
	}
	d.limit()
	if size > 0 && d.sizes.Level > 0 { // the peer may send nothing large, and has to find out too
		d.s.sendOwn(Probe, func(dst []byte) []byte { return append(dst, path.OpNarrow) })
	}
}

// limit makes records as large as the path takes.
func (d *pathDriver) limit() {
	limit := d.sizes.Limit()
	switch before := int(d.s.limit.Swap(int32(limit))); {
	case limit < before && before == record.MaxSize:
		d.s.log.Warnf("the path takes no records of %d bytes: they are cut smaller", d.s.full)
	case limit > before:
		d.s.log.Info("the path takes full records again")
	}
}

// handle takes an event from the reader.
func (d *pathDriver) handle(e event) {
	now := d.s.transport.now()
	switch e.kind {
	case foreignRecord:
		d.do(d.selector.ForeignRecord(now, e.route))
	case probeAnswer:
		if e.route == d.selector.Current {
			d.answered = max(d.answered, e.at)
		}
		d.do(d.selector.Answered(now, e.took, d.grace(), e.route))
	case candidatesReceived:
		d.sender.Received(e.sequence)
	case sizeAnswer:
		d.sizes.Answer(now, e.token)
		d.limit()
	case peerCandidates:
		if d.receiver.Receive(e.sequence, e.candidates) {
			d.s.limited()
		}
		d.takeCandidates(now)
	}
}

// takeCandidates takes the peer's candidates, if there are new ones and it is time.
func (d *pathDriver) takeCandidates(now time.Duration) {
	if !d.receiver.Tick(now) {
		return
	}
	d.s.setPeer(d.receiver.Candidates)
	d.do(d.selector.SetKnown(now, d.receiver.Candidates))
	if d.turn != nil {
		d.turn.permit(d.receiver.Candidates)
	}
	d.usePath(d.s.path.Load().slot)
}

// readdress lists the own addresses again, and asks what NATs show of them.
func (d *pathDriver) readdress(ctx context.Context) {
	if hosts, err := d.s.transport.gatherer.Hosts(); err == nil {
		d.setHosts(hosts)
	}
	d.gatherAgain = d.gathered != nil
	d.gather(ctx)
}

func (d *pathDriver) setHosts(hosts []netip.AddrPort) {
	now, before := d.s.transport.now(), d.selector.Lost
	d.do(d.selector.SetHosts(now, hosts))
	if d.selector.Lost && !before {
		d.liveness.Restart(now)
	}
}

// suspect is called when the peer does not answer: what was known of NATs and of the TURN
// server may no longer be true.
func (d *pathDriver) suspect() {
	d.s.transport.gatherer.Forget()
	if d.selector.Current.TURN {
		d.s.transport.turnPool.Suspect()
	}
}

// gather finds the own candidates anew, unless that is under way.
func (d *pathDriver) gather(ctx context.Context) {
	if d.gathered != nil {
		return
	}
	ctx, d.cancel = context.WithTimeout(ctx, connect.GatherTimeout)
	result := make(chan connect.Gathered, 1)
	d.gathered = result
	go func() { result <- d.s.transport.gatherer.Gather(ctx) }() // joined by regathered or close
}

// regathered takes what gather has found, unless it was too early.
func (d *pathDriver) regathered(ctx context.Context, f connect.Gathered) {
	d.cancel()
	d.gathered = nil
	if d.gatherAgain {
		d.gatherAgain = false
		d.gather(ctx)
		return
	}
	if f.Err != nil {
		return
	}
	d.setHosts(f.Hosts)
	d.announce(f.Candidates)
}

// announce sends the peer the own candidates, the relayed one among them.
func (d *pathDriver) announce(candidates []path.Candidate) {
	candidates = path.WithoutTURN(candidates)
	if d.allocation != nil {
		candidates = path.WithTURN(candidates, d.allocation.Addr())
	}
	d.s.setCandidates(candidates)
	d.sender.Offer(d.s.transport.now(), candidates)
}

func (d *pathDriver) grace() time.Duration { return path.Grace(d.s.pinger.RoundTrip()) }

// do carries out orders.
func (d *pathDriver) do(o path.Orders) {
	if o.Limited {
		d.s.limited()
	}
	keys := d.s.keys.Sending()
	for _, r := range o.Challenge {
		if p := d.pathFor(r, d.nextSlot()); p != nil {
			d.s.challenge(p, keys)
		}
	}
	if !o.Move {
		return
	}
	now := d.s.transport.now()
	d.s.pinger.Restart(o.Took)
	d.s.moves.Add(1)
	d.usePath(d.nextSlot())
	d.answered, d.turnSince = now, now
	d.liveness.Restart(now)
	d.sizes.Restart(now)
	d.limit()
	p := d.s.path.Load()
	d.s.log.WithField("path", p.kind()).Infof("session has moved to %s → %s", p.Local, p.Remote)
}

// usePath makes the path of the current route in a slot the session's.
func (d *pathDriver) usePath(slot int) {
	if p := d.pathFor(d.selector.Current, slot); p != nil {
		d.s.path.Store(p)
	}
}

// nextSlot is the slot of all paths but the current one. Each slot has numbers and a replay
// window of its own. So nothing counts as old when the path moves, however the delays differ.
func (d *pathDriver) nextSlot() int { return (d.s.path.Load().slot + 1) % record.Slots }

// pathFor returns the path of a route, nil if its own end is gone.
func (d *pathDriver) pathFor(r path.Route, slot int) *boundPath {
	if current := d.s.path.Load(); r == current.Route && r == d.selector.Current {
		slot = current.slot
	}
	p := &boundPath{Route: r, slot: slot, remoteType: d.selector.TypeOf(r.Remote)}
	switch {
	case !r.TURN:
		p.out = d.s.transport.host(r.Local)
	case d.allocation != nil && d.allocation.Addr() == r.Local:
		p.out = d.allocation
	default:
		return nil
	}
	return p
}

// turnReady takes the allocation, nil if there is none to have.
func (d *pathDriver) turnReady(a allocation) {
	if a == nil {
		d.turn.stop()
		d.turn, d.turnNext = nil, d.s.transport.now()+connect.TURNRetry
		return
	}
	d.allocation, d.turnSince = a, d.s.transport.now()
	d.announce(d.sender.Candidates)
	d.do(d.selector.SetTURN(d.turnSince, a.Addr()))
}

// turnLost looks for another route when the allocation is gone, and for another allocation
// if the path used it.
func (d *pathDriver) turnLost(ctx context.Context) {
	now := d.s.transport.now()
	d.turn.stop()
	d.turn, d.allocation = nil, nil
	d.do(d.selector.SetTURN(now, netip.AddrPort{}))
	if d.selector.Current.TURN {
		d.liveness.Restart(now)
		d.turn = acquireTURN(ctx, d.s, d.selector.Known)
	}
}

// lacksTURN reports whether the path uses an allocation that was lost, and no other is asked
// for.
func (d *pathDriver) lacksTURN() bool {
	return d.turn == nil && d.selector.Current.TURN
}

// turnIsIdle reports whether there is an allocation that the path does not use.
func (d *pathDriver) turnIsIdle() bool { return d.allocation != nil && !d.selector.Current.TURN }

// turnUsed returns when the allocation was last of use.
func (d *pathDriver) turnUsed() time.Duration {
	return max(d.turnSince, time.Duration(d.s.turnHeard.Load()))
}

// releaseTURN gives the allocation back. The pool keeps it for a while, for datagrams that are
// still under way.
func (d *pathDriver) releaseTURN() {
	d.turn.stop()
	d.turn, d.allocation = nil, nil
	d.do(d.selector.SetTURN(d.s.transport.now(), netip.AddrPort{}))
	d.announce(d.sender.Candidates)
}
