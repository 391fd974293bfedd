package overlay

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"evio/overlay/clocks"
	"evio/overlay/contact"
	"evio/overlay/control"
	"evio/overlay/member"
	"evio/overlay/nodeid"
)

// peer is another member that this node talks to or tries to.
type peer struct {
	member                member.Member
	contact               *contact.Contact
	sessions              map[uint64]*peerSession
	serving               *peerSession  // the session that carries control, floods and data; nil: none
	since                 time.Time     // when that was established
	records               *rate.Limiter // what its directory records may cost
	missed                bool          // some of them were not taken: it is asked for all again
	outbox                *outbox       // what it is to be told of ours
	asked                 bool          // it wants to be told all again
	saidAll               time.Time     // when it last was
	ring                  *rate.Limiter // what it may say of the ring
	sites                 *rate.Limiter // what it may say of its site
	movesSaid, movesHeard moveLimits    // on claims that are to move
	clock                 clocks.Meter  // measures its clock, over the session that serves
	clocks                *rate.Limiter // what it may say of clocks
}

// outgoingEnvelope is an envelope on its way through the signalling service.
type outgoingEnvelope struct {
	to      member.Member
	payload []byte
}

const (
	maxOutgoing = 64               // envelopes that wait for the signalling service; more are dropped, contact repeats them
	sendExpiry  = 10 * time.Second // how long the service may take for one
)

// sendEnvelopes passes envelopes to the signalling service.
func (n *Node) sendEnvelopes(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case e := <-n.outgoing:
			sending, cancel := context.WithTimeout(ctx, sendExpiry)
			err := e.to.Send(sending, e.payload)
			cancel()
			if err != nil {
				n.log.WithField("peer", e.to.JID).WithError(err).Debug("parameters not sent, to be repeated")
			}
		}
	}
}

// followMembers compares the book with the members known so far.
func (n *Node) followMembers(now time.Time) {
	list := n.cfg.Book.Members(n.cfg.Overlay)
	n.followAccounts()
	before := n.members
	n.rewired = true
	n.members = make(map[nodeid.ID]member.Member, len(list))
	for _, m := range list {
		n.members[m.Node] = m
	}
	delete(n.members, n.id)
	n.arrivals.keep(n.members)
	for id, m := range before {
		if _, still := n.members[id]; !still {
			n.log.WithField("peer", m.JID).Info("no longer a member: its sessions end")
			n.dropMember(id, now)
		}
	}
	for _, m := range list { // before others are added: who went offline may have left a place
		if p := n.peers[m.Node]; p != nil {
			elsewhere := m.Elsewhere(p.member) // what was sent to where it was may be lost
			p.member = m
			if !m.Online || elsewhere {
				p.contact.Offline(now)
			}
		}
	}
	for _, m := range list { // in the order of node IDs, so that all leave out the same ones
		if m.Node == n.id || !m.Online {
			continue
		}
		p := n.peers[m.Node]
		if p == nil {
			p = n.addPeer(m)
		}
		if p != nil {
			n.do(p, p.contact.Online(now), now)
		}
	}
}

// addPeer makes room for a member, or says once that there is none.
func (n *Node) addPeer(m member.Member) *peer {
	if len(n.peers) >= MaxNodes-1 && !n.forgetIdle() {
		if !n.left[m.Node] {
			n.left[m.Node] = true
			n.log.WithField("peer", m.JID).Warnf("overlay %s has more than %d nodes online, which is as many as this version connects: this one is left out", n.cfg.Overlay, MaxNodes)
		}
		return nil
	}
	delete(n.left, m.Node)
	p := &peer{
		member: m, sessions: map[uint64]*peerSession{},
		contact: contact.New(contact.Config{Key: n.cfg.Key, Overlay: n.cfg.Overlay, Peer: m.Node, Rand: n.rand, Wall: n.cfg.Wall}),
		records: rate.NewLimiter(recordRate, recordBurst), outbox: newOutbox(), ring: rate.NewLimiter(ringRate, ringBurst), sites: rate.NewLimiter(siteRate, siteBurst),
		clocks:    rate.NewLimiter(clockRate, clockBurst),
		movesSaid: newMoveLimits(), movesHeard: newMoveLimits(),
	}
	n.peers[m.Node] = p
	return p
}

// forgetIdle gives up one peer that is offline and has no session.
func (n *Node) forgetIdle() bool {
	for id, p := range n.peers {
		if !p.member.Online && len(p.sessions) == 0 {
			delete(n.peers, id)
			return true
		}
	}
	return false
}

// forget takes a session from its peer. With the last one of a peer that is offline
// its place is free, which those who were left out hear of.
func (n *Node) forget(p *peer, number uint64) {
	delete(p.sessions, number)
	if len(p.sessions) == 0 && !p.member.Online && len(n.left) > 0 {
		n.vacant = true
	}
}

// dropMember ends everything with a node that is no member any more, peer or not.
func (n *Node) dropMember(id nodeid.ID, now time.Time) {
	if p := n.peers[id]; p != nil {
		n.do(p, p.contact.Stop(), now)
		n.lost(id, p, now)
		delete(n.peers, id)
	}
	delete(n.left, id)
	n.complaints.forget(id)
	n.forgetSite(id)
	n.forgetClock(id)
	n.directoryChanged(n.directory.DropNode(id, now), now)
}

// message takes an envelope that the signalling service brought; it is called from
// the service's goroutine.
func (n *Node) message(m member.Member, payload []byte) {
	if now := time.Now(); !n.arrivals.allow(m.Node, now) {
		n.drops.envelope.tooMany.Add(1)
		n.complain(m, errTooMany, "first contacts refused unread", now)
		return
	}
	if !n.mail.offer(source{ofEnvelopes, m.Node}, func() { n.received(m, payload, time.Now()) }, maxEnvelopesWaiting) {
		n.drops.queue.Add(1)
	}
}

// Why an envelope is refused whose signature is right, or was not looked at.
var (
	errIdentity = errors.New("it is signed by another identity than the one pinned for the account")
	errTooMany  = errors.New("more of them come in this account's name than an engine sends")
	errReplayed = errors.New("it was received before")
)

func (n *Node) received(m member.Member, payload []byte, now time.Time) {
	if _, known := n.members[m.Node]; !known {
		n.followMembers(now) // the news of the member may wait behind its message
	}
	if _, known := n.members[m.Node]; !known {
		n.drops.envelope.stranger.Add(1)
		return // it left while the message waited
	}
	e, body, err := contact.Open(payload, n.cfg.Overlay, n.id, n.cfg.Wall(now), func(e contact.Envelope) error {
		switch p := n.peers[m.Node]; {
		case !e.Key.Equal(m.Key) || e.From != m.Node:
			return errIdentity
		case p != nil && p.contact.Seen(e):
			return errReplayed
		}
		return nil
	})
	if errors.Is(err, errReplayed) {
		n.drops.envelope.replayed.Add(1)
		return
	}
	if err != nil {
		n.untimely(m, e, err, now)
		n.drops.envelope.refused(err)
		n.complain(m, err, "first contact refused", now)
		return
	}
	p := n.peers[m.Node]
	if p == nil {
		if p = n.addPeer(m); p == nil {
			return
		}
	}
	if p.contact.Replayed(e, now) {
		n.drops.envelope.replayed.Add(1)
	} else {
		p.member = m
		n.timely(m.Node)
	}
	n.do(p, p.contact.Received(e, body, now), now)
}

// complaint is what the log reports about a member: that it forges, or what else is wrong.
// Neither keeps the other out, and nothing of it another reason.
type complaint struct {
	node   nodeid.ID
	what   string
	forges bool
}

// complaintLog is when the log last reported a member's wrong input.
type complaintLog struct {
	mu sync.Mutex
	at map[complaint]time.Time
}

// due reports whether a complaint goes to the log, and notes that it does.
func (b *complaintLog) due(what complaint, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if last, before := b.at[what]; before && now.Sub(last) < complaintPause {
		return false
	}
	if b.at == nil {
		b.at = map[complaint]time.Time{}
	}
	b.at[what] = now
	return true
}

// forget spares the memory of one that is no member any more.
func (b *complaintLog) forget(id nodeid.ID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	maps.DeleteFunc(b.at, func(c complaint, _ time.Time) bool { return c.node == id })
}

// complaintPause is how long the log is spared further wrong input of one member for one
// reason; the counters have it all.
const complaintPause = 10 * time.Minute

// complain logs what was wrong with a member's input; what is one of a few phrases, the
// reason. Any goroutine may call it.
func (n *Node) complain(m member.Member, err error, what string, now time.Time) {
	if !n.complaints.due(complaint{m.Node, what, errors.Is(err, errForged)}, now) {
		return
	}
	n.log.WithField("peer", m.JID).WithError(err).Warn(what)
}

// do carries out what a contact asks for.
func (n *Node) do(p *peer, effects []contact.Effect, now time.Time) {
	for _, e := range effects {
		switch e := e.(type) {
		case contact.OpenSession:
			n.openSession(p, e.Attempt, now)
		case contact.ConnectSession:
			if a := p.sessions[e.Attempt]; a != nil {
				n.connect(p, a, e, now)
			}
		case contact.SendEnvelope:
			if p.contact.Unanswered() >= unanswered {
				n.suspect(now)
			}
			select {
			case n.outgoing <- outgoingEnvelope{p.member, e.Envelope}:
			default:
				n.drops.outgoing.Add(1)
			}
		case contact.CloseSession:
			if a := p.sessions[e.Attempt]; a != nil {
				n.forget(p, e.Attempt)
				a.session.Close()
			}
		}
	}
}

const (
	// unanswered is how many envelopes without an answer put the signalling service in
	// doubt.
	unanswered = 3
	// suspectPause is how long it is then left alone.
	suspectPause = 5 * time.Second
)

// suspect has the signalling services prove that they work: a service that is gone
// silently would cost a first contact half a minute. What broke a session may
// have broken them too.
func (n *Node) suspect(now time.Time) {
	if since := now.Sub(n.suspected); since < 0 || since >= suspectPause {
		n.suspected = now
		n.cfg.Book.Suspect()
	}
}

// connect gives a session the peer's parameters. One that cannot use them is closed,
// so that its end begins the next attempt after a pause.
func (n *Node) connect(p *peer, a *peerSession, e contact.ConnectSession, now time.Time) {
	switch err := a.session.Connect(e.Parameters, e.Binding); {
	case errors.Is(err, ErrEstablished):
		p.contact.Unconnected(e.Attempt)
	case errors.Is(err, ErrClosed): // its end waits in the mailbox
	case err != nil:
		n.complain(p.member, err, "parameters of the peer are of no use", now)
		a.fault = err
		a.session.Close()
	}
}

func (n *Node) openSession(p *peer, number uint64, now time.Time) {
	a := &peerSession{node: n, peer: p.member.Node, number: number, control: control.New()}
	s, err := n.cfg.Sessions.Open(p.member.Node, p.member.Key, a)
	if err != nil {
		if !errors.Is(err, ErrReported) {
			n.log.WithField("peer", p.member.JID).WithError(err).Warn("no session opened, trying again")
		}
		n.do(p, p.contact.Closed(number, err, now), now)
		return
	}
	a.session = s
	p.sessions[number] = a
}
