package overlay

import (
	"errors"
	"fmt"
	"time"

	"evio/overlay/contact"
	"evio/overlay/control"
	"evio/overlay/member"
	"evio/overlay/nodeid"
)

const (
	// clockBurst is how many messages on clocks of a peer are taken at once that answer no
	// question, and clockRate how many more in a second. It asks seldom.
	clockBurst = 16
	clockRate  = 1
	// likelyFor is how long an envelope that was refused for its time tells of its sender's
	// clock: two of them are 37 s apart at most.
	likelyFor = 90 * time.Second
)

// Clock is how the clock of another node stands to this one's.
type Clock struct {
	// Ahead is how far it is ahead, negative if it is behind.
	Ahead time.Duration
	// Likely: that follows from when an envelope was signed that was refused for its time,
	// and somebody may have held it back; otherwise it was measured over the session.
	Likely bool
}

// standing is a Clock, and when it was seen.
type standing struct {
	Clock
	at time.Time
}

// clockSet does what is due when this engine's wall time was set: what this node sends to
// others goes by it, and what they have said may have been refused for it.
func (n *Node) clockSet(by time.Duration, now time.Time) {
	n.log.Debugf("this engine's clock was set by %v", by.Round(time.Millisecond))
	n.directory.ClockSet(now)
	for _, p := range n.peers {
		n.do(p, p.contact.ClockSet(now), now)
		p.clock.Set()
		p.missed = p.missed || p.serving != nil
	}
}

// askClock asks a peer for its time when that is due.
func (n *Node) askClock(p *peer, now time.Time) {
	if p.serving != nil && p.clock.Due(now) {
		p.serving.tell(control.Clock, p.clock.Ask(now), now)
	}
}

// clockTold takes what a peer says of clocks over the session that serves.
func (n *Node) clockTold(p *peer, a *peerSession, payload []byte, now time.Time) {
	if p.serving != a {
		return // it is said again over the one that serves
	}
	if !p.clock.Awaits(payload) && !p.clocks.AllowN(now, 1) {
		n.drops.clock.Add(1)
		return
	}
	reply, news, err := p.clock.Take(payload, now)
	if err != nil {
		n.drops.clock.Add(1)
		n.complain(p.member, err, "message on clocks refused", now)
		return
	}
	if reply != nil {
		a.tell(control.Clock, reply, now)
	}
	if ahead, ok := p.clock.Ahead(); ok && news {
		n.noteClock(a.peer, standing{Clock{Ahead: ahead}, now})
	}
}

// untimely notes what an envelope tells that a member signed and that was refused for its
// time. While there is a session with the member, that tells it better.
func (n *Node) untimely(m member.Member, e contact.Envelope, err error, now time.Time) {
	var late *contact.TimeError
	p := n.peers[m.Node]
	if !errors.As(err, &late) || p == nil || p.serving != nil || p.contact.Copy(e) {
		return
	}
	n.noteClock(m.Node, standing{Clock{Ahead: late.Ahead, Likely: true}, now})
}

// timely notes that an envelope of a member was taken.
func (n *Node) timely(id nodeid.ID) {
	if n.clocks[id].Likely {
		n.forgetClock(id)
	}
}

func (n *Node) noteClock(id nodeid.ID, s standing) {
	before := n.clocks[id]
	n.clocks[id] = s
	sentence := n.clockFault(id)
	if sentence != "" && (before.Ahead.Abs() <= contact.Skew || before.Likely != s.Likely) {
		n.log.Warn(sentence)
	}
	if sentence == "" && before.Ahead.Abs() > contact.Skew {
		n.log.WithField("peer", n.called(id)).Info("the clocks of the two engines agree again")
	}
	n.showWarnings()
}

func (n *Node) forgetClock(id nodeid.ID) {
	if _, known := n.clocks[id]; known {
		delete(n.clocks, id)
		n.showWarnings()
	}
}

// ageClocks forgets what envelopes told that came some time ago.
func (n *Node) ageClocks(now time.Time) {
	for id, s := range n.clocks {
		if s.Likely && now.Sub(s.at) > likelyFor {
			n.forgetClock(id)
		}
	}
}

// clockFault says that the clock of a member is further from this one's than is tolerated,
// by how much and what to do; empty: it is not.
func (n *Node) clockFault(id nodeid.ID) string {
	c, known := n.clocks[id]
	if !known || c.Ahead.Abs() <= contact.Skew {
		return ""
	}
	how := "ahead of"
	if c.Ahead < 0 {
		how = "behind"
	}
	by := c.Ahead.Abs().Round(time.Second)
	if c.Likely {
		return fmt.Sprintf("overlay %s: the clock of %s seems to be %v %s this engine's, by the time at which it signed what it sent last, and more than %v is not tolerated, so no session with it comes up: set the clocks of both engines, best by NTP",
			n.cfg.Overlay, n.called(id), by, how, contact.Skew)
	}
	return fmt.Sprintf("overlay %s: the clock of %s is %v %s this engine's, and more than %v is not tolerated, so what one of the two signs has expired for the other, and no new session comes up: set the clocks of both engines, best by NTP",
		n.cfg.Overlay, n.called(id), by, how, contact.Skew)
}
