package overlay

import (
	"context"
	"errors"
	"maps"
	"time"

	"evio/overlay/contact"
	"evio/overlay/control"
	"evio/overlay/member"
	"evio/overlay/nodeid"
)

// peer is another member that this node talks to or tries to.
type peer struct {
	member   member.Member
	contact  *contact.Contact
	attempts map[uint64]*attempt
	serving  *attempt // the session that carries control, floods and data; nil: none
	records  bucket   // what its directory records may cost
	ring     bucket   // what it may say of the ring
	sites    bucket   // what it may say of its site
}

// letter is an envelope on its way through the signalling service.
type letter struct {
	to      member.Member
	payload []byte
}

const (
	maxLetters   = 64               // envelopes that wait for the signalling service; more are dropped, contact repeats them
	letterExpiry = 10 * time.Second // how long the service may take for one
)

// deliverLetters passes envelopes to the signalling service.
func (n *Node) deliverLetters(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case l := <-n.letters:
			sending, cancel := context.WithTimeout(ctx, letterExpiry)
			err := l.to.Send(sending, l.payload)
			cancel()
			if err != nil {
				n.log.WithField("peer", l.to.JID).WithError(err).Debug("parameters not sent, to be repeated")
			}
		}
	}
}

// followMembers compares the book with the members known so far.
func (n *Node) followMembers(now time.Time) {
	list := n.cfg.Book.Members(n.cfg.Overlay)
	before := n.members
	n.members = make(map[nodeid.ID]member.Member, len(list))
	for _, m := range list {
		n.members[m.Node] = m
	}
	delete(n.members, n.id)
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
		member: m, attempts: map[uint64]*attempt{},
		contact: contact.New(contact.Config{Key: n.cfg.Key, Overlay: n.cfg.Overlay, Peer: m.Node, Rand: n.rand}),
	}
	n.peers[m.Node] = p
	return p
}

// forgetIdle gives up one peer that is offline and has no session.
func (n *Node) forgetIdle() bool {
	for id, p := range n.peers {
		if !p.member.Online && len(p.attempts) == 0 {
			delete(n.peers, id)
			return true
		}
	}
	return false
}

// forget takes an attempt from its peer. With the last one of a peer that is offline
// its place is free, which those who were left out hear of.
func (n *Node) forget(p *peer, attempt uint64) {
	delete(p.attempts, attempt)
	if len(p.attempts) == 0 && !p.member.Online && len(n.left) > 0 {
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
	maps.DeleteFunc(n.blamed, func(b blame, _ time.Time) bool { return b.node == id })
	n.forgetSite(id)
	n.directoryChanged(n.directory.DropNode(id, now), now)
}

// message takes an envelope that the signalling service brought; it is called from
// the service's goroutine.
func (n *Node) message(m member.Member, payload []byte) {
	if !n.offer(func() { n.received(m, payload, time.Now()) }) {
		n.drops.queue.Add(1)
	}
}

// errIdentity is why an envelope is refused though its signature is right.
var errIdentity = errors.New("it is signed by another identity than the one pinned for the account")

func (n *Node) received(m member.Member, payload []byte, now time.Time) {
	if _, known := n.members[m.Node]; !known {
		n.followMembers(now) // the news of the member may wait behind its message
	}
	if _, known := n.members[m.Node]; !known {
		n.drops.envelope.stranger.Add(1)
		return // it left while the message waited
	}
	e, body, err := contact.Open(payload, n.cfg.Overlay, n.id, now)
	if err == nil && (!e.Key.Equal(m.Key) || e.From != m.Node) {
		err = errIdentity
	}
	if err != nil {
		n.drops.envelope.refused(err)
		n.blame(m, err, "first contact refused", now)
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
		return
	}
	p.member = m
	n.do(p, p.contact.Received(e, body, now), now)
}

// blame is what the log tells of a member: that it forges, or what else is wrong.
// Neither keeps the other out.
type blame struct {
	node   nodeid.ID
	forges bool
}

// blamePause is how long the log is spared further wrong input of one member; the
// counters have it all.
const blamePause = 10 * time.Second

// blame logs what was wrong with a member's input.
func (n *Node) blame(m member.Member, err error, what string, now time.Time) {
	key := blame{m.Node, errors.Is(err, errForged)}
	if last, before := n.blamed[key]; before && now.Sub(last) < blamePause {
		return
	}
	n.blamed[key] = now
	n.log.WithField("peer", m.JID).WithError(err).Warn(what)
}

// do carries out what a contact asks for.
func (n *Node) do(p *peer, effects []contact.Effect, now time.Time) {
	for _, e := range effects {
		switch e := e.(type) {
		case contact.OpenSession:
			n.openSession(p, e.Attempt, now)
		case contact.ConnectSession:
			if a := p.attempts[e.Attempt]; a != nil {
				n.connect(p, a, e, now)
			}
		case contact.SendEnvelope:
			if p.contact.Unanswered() >= unanswered {
				n.suspect(now)
			}
			select {
			case n.letters <- letter{p.member, e.Envelope}:
			default:
				n.drops.letters.Add(1)
			}
		case contact.CloseSession:
			if a := p.attempts[e.Attempt]; a != nil {
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
// without a word would cost a first contact half a minute. What broke a session may
// have broken them too.
func (n *Node) suspect(now time.Time) {
	if since := now.Sub(n.suspected); since < 0 || since >= suspectPause {
		n.suspected = now
		n.cfg.Book.Suspect()
	}
}

// connect gives a session the peer's parameters. One that cannot use them is closed,
// so that its end begins the next attempt after a pause.
func (n *Node) connect(p *peer, a *attempt, e contact.ConnectSession, now time.Time) {
	switch err := a.session.Connect(e.Parameters, e.Binding); {
	case errors.Is(err, ErrEstablished):
		p.contact.Unconnected(e.Attempt)
	case errors.Is(err, ErrClosed): // its end waits in the mailbox
	case err != nil:
		n.blame(p.member, err, "parameters of the peer are of no use", now)
		a.fault = err
		a.session.Close()
	}
}

func (n *Node) openSession(p *peer, number uint64, now time.Time) {
	a := &attempt{node: n, peer: p.member.Node, number: number, control: control.New()}
	s, err := n.cfg.Sessions.Open(p.member.Node, p.member.Key, a)
	if err != nil {
		if !errors.Is(err, ErrReported) {
			n.log.WithField("peer", p.member.JID).WithError(err).Warn("no session opened, trying again")
		}
		n.do(p, p.contact.Closed(number, err, now), now)
		return
	}
	a.session = s
	p.attempts[number] = a
}
