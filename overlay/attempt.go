package overlay

import (
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"evio/overlay/control"
	"evio/overlay/nodeid"
)

var _ SessionEvents = (*attempt)(nil)

// attempt is one session with a peer, from its opening to its end. Its exported
// methods are called by the session's goroutines, the others by the node's.
type attempt struct {
	node    *Node
	peer    nodeid.ID
	number  uint64
	session Session
	control *control.Conn
	fault   error        // why the node has closed it, nil: it ends by itself
	waiting atomic.Int32 // calls with input that wait for the node
}

// maxSessionWaiting is how many calls with input of one session wait for the node: a
// peer that sends more than can be taken leaves room for the others.
const maxSessionWaiting = maxWaiting / 8

// current returns the attempt's peer unless either has been given up.
func (a *attempt) current() *peer {
	if p := a.node.peers[a.peer]; p != nil && p.attempts[a.number] == a {
		return p
	}
	return nil
}

// Parameters implements SessionEvents.
func (a *attempt) Parameters(b []byte) {
	b = slices.Clone(b)
	a.node.mail.put(func() {
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
func (a *attempt) Established() {
	a.node.mail.put(func() {
		if p := a.current(); p != nil {
			now := time.Now()
			a.node.do(p, p.contact.Established(a.number, now), now)
			a.node.gained(p, a, now)
		}
	})
}

// Closed implements SessionEvents.
func (a *attempt) Closed(err error) {
	a.node.mail.put(func() {
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
			a.node.blame(p.member, err, "session not established", now)
		default:
			a.node.log.WithField("peer", p.member.JID).WithError(err).Debug("session not established")
		}
		a.node.suspect(now)
		a.node.do(p, p.contact.Closed(a.number, err, now), now)
	})
}

// Control implements SessionEvents.
func (a *attempt) Control(frames [][]byte) {
	a.offer(frames, func(frame []byte) {
		p := a.current()
		if p == nil {
			return
		}
		now := time.Now()
		messages, out, err := a.control.Receive(frame, now)
		if err != nil {
			a.node.drops.control.Add(1)
			return
		}
		a.sendControl(out)
		for _, m := range messages {
			a.node.control(p, a, m, now)
		}
	})
}

// Flood implements SessionEvents.
func (a *attempt) Flood(frames [][]byte) {
	a.offer(frames, func(frame []byte) {
		if a.current() != nil {
			a.node.receiveFlood(a.peer, frame, time.Now())
		}
	})
}

// offer hands copies of frames to the node's goroutine.
func (a *attempt) offer(frames [][]byte, f func([]byte)) {
	if a.waiting.Add(1) > maxSessionWaiting {
		a.waiting.Add(-1)
		a.node.drops.peerQueue.Add(uint64(len(frames)))
		return
	}
	held := make([][]byte, len(frames))
	for i := range frames {
		held[i] = slices.Clone(frames[i])
	}
	if !a.node.offer(func() {
		a.waiting.Add(-1)
		for _, frame := range held {
			f(frame)
		}
	}) {
		a.waiting.Add(-1)
		a.node.drops.queue.Add(uint64(len(frames)))
	}
}

func (a *attempt) tick(now time.Time) { a.sendControl(a.control.Tick(now)) }

// tell queues a message for the peer. What the peer misses it would miss for good,
// so one that has not taken a full queue of them gets a new session, which begins
// with all there is to tell.
func (a *attempt) tell(kind control.Type, payload []byte, now time.Time) {
	out, err := a.control.Send(kind, payload, now)
	if err != nil {
		a.node.drops.control.Add(1)
		a.node.log.WithField("peer", a.peer).WithError(err).Warn("message to a peer not sent: its session ends")
		a.session.Close()
		return
	}
	a.sendControl(out)
}

func (a *attempt) sendControl(frames [][]byte) {
	if len(frames) == 0 {
		return
	}
	if err := a.session.SendControl(frames); err != nil {
		a.node.drops.control.Add(1) // control repeats them
	}
}
