package overlay

import (
	"time"

	"evio/overlay/clocks"
	"evio/overlay/control"
	"evio/overlay/nodeid"
	"evio/overlay/symphony"
)

const (
	// ringBurst is how many ring messages of a peer are taken at once, and ringRate how
	// many more in a second. One at rest says nothing, one whose view changes a few.
	ringBurst = 256
	ringRate  = 32
)

// gained makes a new session serve its peer.
func (n *Node) gained(p *peer, a *peerSession, now time.Time) {
	n.log.WithField("peer", p.member.JID).Info("session established")
	if p.serving != nil {
		n.ringEffects(n.ring.NodeDown(a.peer, now), now) // the peer may have begun anew and know nothing of our links
	}
	p.serving, p.since, n.rewired = a, now, true
	n.cfg.Fabric.LinkUp(a.peer, a.session)
	n.directoryChanged(n.directory.NodeReachable(a.peer, now), now)
	n.tellSite(a, now) // first, so that what the records say can be explained
	p.missed = false   // it begins with all there is to say
	p.clock = clocks.Meter{Wall: n.cfg.Wall}
	n.forgetClock(a.peer)
	p.outbox.reset()
	n.sayAll(p, now)
	n.ringEffects(n.ring.NodeUp(a.peer, now), now)
}

// lost ends the service of a peer's session.
func (n *Node) lost(id nodeid.ID, p *peer, now time.Time) {
	if p.serving == nil {
		return
	}
	p.serving, n.rewired = nil, true
	n.compareSite(id)
	n.forgetClock(id)
	n.cfg.Fabric.LinkDown(id)
	n.directory.NodeUnreachable(id, now)
	n.stirred = true
	n.ringEffects(n.ring.NodeDown(id, now), now)
}

// ringEffects carries out what the ring asks for. Which sessions are ring links is
// read from it when a frame is flooded.
func (n *Node) ringEffects(effects []symphony.Effect, now time.Time) {
	for _, e := range effects {
		if send, ok := e.(symphony.Send); ok {
			if p := n.peers[send.To]; p != nil && p.serving != nil {
				p.serving.tell(control.Ring, send.Message, now)
			}
		}
	}
}

// control takes a message that a peer sent over one of its sessions. Unknown ones
// are for later versions.
func (n *Node) control(p *peer, a *peerSession, m control.Message, now time.Time) {
	switch m.Type {
	case control.Announce:
		n.announced(p, a, m.Payload, now)
	case control.Resync:
		p.asked = true
		n.sayAgain(p, now)
	case control.Site:
		n.siteTold(p, a.peer, m.Payload, now)
	case control.Clock:
		n.clockTold(p, a, m.Payload, now)
	case control.Move:
		n.moveCame(p, m.Payload, now)
	case control.Ring:
		if !p.ring.AllowN(now, 1) {
			n.drops.ring.Add(1) // it is said again
			return
		}
		// What was said of the links before a new session took over is void: both
		// ends have begun anew, and a late word would take the ring back.
		if p.serving == a {
			n.ringEffects(n.ring.Message(a.peer, m.Payload, now), now)
		}
	}
}
