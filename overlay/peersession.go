package overlay

import (
	"errors"
	"slices"
	"time"

	"evio/overlay/control"
	"evio/overlay/nodeid"
)

var _ SessionEvents = (*peerSession)(nil)

// peerSession is one session with a peer, from its opening to its end. Its exported
// methods are called by the session's goroutines, the others by the node's.
type peerSession struct {
	node    *Node
	peer    nodeid.ID
	number  uint64
	session Session
	control *control.Conn
	fault   error // why the node has closed it, nil: it ends by itself
}

// maxSessionWaiting is how many control frames of one peer wait for the node.
const maxSessionWaiting = 512

// current returns the peer of the session unless either has been given up.
func (a *peerSession) current() *peer {
	if p := a.node.peers[a.peer]; p != nil && p.sessions[a.number] == a {
		return p
	}
	return nil
}

// Parameters implements SessionEvents.
func (a *peerSession) Parameters(b []byte) {
	b = slices.Clone(b)
	a.node.mail.post(from(a.peer), func() {
		p := a.current()
		if p == nil {
			return
		}
		now := time.Now()
		effects, err := p.contact.LocalParameters(a.number, b, now)
		if err != nil {
			a.node.log.WithError(err).Error("this engine's own parameters cannot be sent")
			a.session.Close() // its end begins the next attempt, after a pause
			return
		}
		a.node.do(p, effects, now)
	})
}

// Established implements SessionEvents.
func (a *peerSession) Established() {
	a.node.mail.post(from(a.peer), func() {
		if p := a.current(); p != nil {
			now := time.Now()
			a.node.do(p, p.contact.Established(a.number, now), now)
			a.node.gained(p, a, now)
		}
	})
}

// Closed implements SessionEvents.
func (a *peerSession) Closed(err error) {
	a.node.mail.post(from(a.peer), func() {
		p := a.current()
		if p == nil {
			return
		}
		now := time.Now()
		if a.fault != nil {
			err = a.fault
		}
		a.node.forget(p, a.number)
		switch {
		case p.serving == a:
			a.node.log.WithField("peer", p.member.JID).WithError(err).Info("session ended")
			a.node.lost(a.peer, p, now)
		case errors.Is(err, ErrSecret):
			a.node.complain(p.member, err, "session not established", now)
		default:
			a.node.log.WithField("peer", p.member.JID).WithError(err).Debug("session not established")
		}
		a.node.suspect(now)
		a.node.do(p, p.contact.Closed(a.number, err, now), now)
	})
}

// Control implements SessionEvents.
func (a *peerSession) Control(frames [][]byte) {
	for _, f := range frames {
		f = slices.Clone(f)
		if !a.node.mail.offer(from(a.peer), func() { a.heard(f) }, maxSessionWaiting) {
			a.node.drops.peerQueue.Add(1)
		}
	}
}

func (a *peerSession) heard(frame []byte) {
	if a.current() == nil {
		return
	}
	messages, out, err := a.control.Receive(frame, time.Now())
	if err != nil {
		a.node.drops.control.Add(1)
		return
	}
	a.sendControl(out)
	var parts []control.Message
	for _, m := range messages {
		parts = append(parts, byRecord(m)...)
	}
	a.deal(parts)
}

// deal takes one part of what a frame said and leaves the rest for the peer's next turns:
// to check a signature takes longer than all else.
func (a *peerSession) deal(parts []control.Message) {
	p := a.current()
	if p == nil || len(parts) == 0 {
		return
	}
	if len(parts) > 1 {
		a.node.mail.next(from(a.peer), func() { a.deal(parts[1:]) })
	}
	a.node.control(p, a, parts[0], time.Now())
}

// Flood implements SessionEvents.
func (a *peerSession) Flood(frames [][]byte) { a.node.floodsCame(a.peer, frames) }

func (a *peerSession) tick(now time.Time) { a.sendControl(a.control.Tick(now)) }

// tell queues a message for the peer. What the peer misses it would miss for good,
// so one that has not taken a full queue of them gets a new session, which begins
// with all there is to tell.
func (a *peerSession) tell(kind control.Type, payload []byte, now time.Time) {
	out, err := a.control.Send(kind, payload, now)
	if err != nil {
		a.node.drops.control.Add(1)
		a.node.log.WithField("peer", a.peer).WithError(err).Warn("message to a peer not sent: its session ends")
		a.session.Close()
		return
	}
	a.sendControl(out)
}

func (a *peerSession) sendControl(frames [][]byte) {
	if len(frames) == 0 {
		return
	}
	if err := a.session.SendControl(frames); err != nil {
		a.node.drops.control.Add(1) // control repeats them
	}
}
