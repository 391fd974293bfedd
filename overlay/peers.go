package overlay

import (
	"context"
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

// followMembers compares the book with the peers.
func (n *Node) followMembers(now time.Time) {
	current := map[nodeid.ID]member.Member{}
	for _, m := range n.cfg.Book.Members(n.cfg.Overlay) {
		if m.Node != n.id {
			current[m.Node] = m
		}
	}
	for id, p := range n.peers {
		if _, still := current[id]; !still {
			n.log.WithField("peer", p.member.JID).Info("no longer a member: its sessions end")
			n.dropPeer(id, p, now)
		}
	}
	n.members = current
	for id, m := range current {
		p := n.peers[id]
		switch {
		case p == nil && m.Online:
			if p = n.addPeer(m); p != nil {
				n.do(p, p.contact.Online(now), now)
			}
		case p != nil:
			p.member = m
			if m.Online {
				n.do(p, p.contact.Online(now), now)
			} else {
				p.contact.Offline(now)
			}
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

// dropPeer ends everything with a peer that is no member any more.
func (n *Node) dropPeer(id nodeid.ID, p *peer, now time.Time) {
	n.do(p, p.contact.Stop(), now)
	n.lost(id, p, now)
	delete(n.peers, id)
	n.directoryChanged(n.directory.DropNode(id, now), now)
}

// message takes an envelope that the signalling service brought; it is called from
// the service's goroutine.
func (n *Node) message(m member.Member, payload []byte) {
	n.After(func() {
		now := time.Now()
		log := n.log.WithField("peer", m.JID)
		e, body, err := contact.Open(payload, n.cfg.Overlay, n.id, now)
		if err != nil {
			n.drops.envelope.Add(1)
			log.WithError(err).Warn("first contact refused")
			return
		}
		if !e.Key.Equal(m.Key) || e.From != m.Node {
			n.drops.envelope.Add(1)
			log.Warn("first contact refused: it is signed by another identity than the one pinned for the account")
			return
		}
		p := n.peers[m.Node]
		if p == nil {
			if p = n.addPeer(m); p == nil {
				return
			}
		}
		p.member = m
		n.do(p, p.contact.Received(e, body, now), now)
	})
}

// do carries out what a contact asks for.
func (n *Node) do(p *peer, effects []contact.Effect, now time.Time) {
	log := n.log.WithField("peer", p.member.JID)
	for _, e := range effects {
		switch e := e.(type) {
		case contact.OpenSession:
			n.openSession(p, e.Attempt, now)
		case contact.ConnectSession:
			if a := p.attempts[e.Attempt]; a != nil {
				if err := a.session.Connect(e.Parameters, e.Binding); err != nil {
					log.WithError(err).Warn("parameters of the peer are of no use")
				}
			}
		case contact.SendEnvelope:
			select {
			case n.letters <- letter{p.member, e.Envelope}:
			default:
				n.drops.letters.Add(1)
			}
		case contact.CloseSession:
			if a := p.attempts[e.Attempt]; a != nil {
				delete(p.attempts, e.Attempt)
				a.session.Close()
			}
		}
	}
}

func (n *Node) openSession(p *peer, number uint64, now time.Time) {
	a := &attempt{node: n, peer: p.member.Node, number: number, control: control.New()}
	s, err := n.cfg.Sessions.Open(p.member.Node, p.member.Key, a)
	if err != nil {
		n.log.WithField("peer", p.member.JID).WithError(err).Warn("no session opened, trying again")
		n.do(p, p.contact.Closed(number, err, now), now)
		return
	}
	a.session = s
	p.attempts[number] = a
}
