package overlay

import (
	"maps"
	"time"

	"golang.org/x/time/rate"

	"evio/overlay/control"
	"evio/overlay/directory"
	"evio/overlay/moves"
	"evio/overlay/nodeid"
)

const (
	// moveRate is how many questions and answers on claims a node may send to another in
	// a second, and movePause the least time between two of them on one key.
	moveRate  = 10
	movePause = time.Second
	// moveSlack is what the way may take from movePause at the receiver.
	moveSlack = 250 * time.Millisecond
)

// Moves takes what other nodes say of claims that are to move. Its methods are called
// from the node's goroutine and must not block.
type Moves interface {
	// GiveWay says that a container of the node announces what a container here has.
	GiveWay(from nodeid.ID, k directory.Key, asker moves.Party)
	// Kept says that a container of the node, which was asked, keeps it.
	Kept(from nodeid.ID, k directory.Key, holder moves.Party)
}

// moveLimits is what one peer may say of claims.
type moveLimits struct {
	rate *rate.Limiter
	last map[moves.Kind]map[directory.Key]time.Time
}

func newMoveLimits() moveLimits {
	return moveLimits{
		rate: rate.NewLimiter(moveRate, moveRate),
		last: map[moves.Kind]map[directory.Key]time.Time{moves.GiveWay: {}, moves.Kept: {}},
	}
}

// allow reports whether a message is within the limits, and notes it.
func (l moveLimits) allow(m moves.Message, pause time.Duration, now time.Time) bool {
	last := l.last[m.Kind]
	maps.DeleteFunc(last, func(_ directory.Key, at time.Time) bool { return now.Sub(at) >= pause })
	if _, lately := last[m.Key]; lately || !l.rate.AllowN(now, 1) {
		return false
	}
	last[m.Key] = now
	return true
}

// AskWay asks the node that holds a key to give it up if its container does not answer
// for it; asker is the container that announces it. It does not wait. What exceeds the rate
// at which a node may ask is not sent.
func (n *Node) AskWay(holder nodeid.ID, k directory.Key, asker moves.Party) {
	n.mail.put(func() { n.say(holder, moves.Message{Kind: moves.GiveWay, Key: k, Party: asker}, time.Now()) })
}

// KeepFrom tells a node that asked that a container here keeps the key. It does not wait.
func (n *Node) KeepFrom(asker nodeid.ID, k directory.Key, holder moves.Party) {
	n.mail.put(func() { n.say(asker, moves.Message{Kind: moves.Kept, Key: k, Party: holder}, time.Now()) })
}

func (n *Node) say(to nodeid.ID, m moves.Message, now time.Time) {
	p := n.peers[to]
	if p == nil || p.serving == nil || !p.movesSaid.allow(m, movePause, now) {
		return
	}
	p.serving.tell(control.Move, m.Append(nil), now)
}

// moveCame takes what a peer says of a claim. Nobody is blamed for asking.
func (n *Node) moveCame(p *peer, payload []byte, now time.Time) {
	m, err := moves.Parse(payload)
	if err != nil {
		n.drops.move.Add(1)
		n.complain(p.member, err, "message refused", now)
		return
	}
	if m.Kind != moves.GiveWay && m.Kind != moves.Kept || n.cfg.Moves == nil {
		return
	}
	if !p.movesHeard.allow(m, movePause-moveSlack, now) {
		n.drops.move.Add(1)
		return
	}
	if m.Kind == moves.GiveWay {
		n.cfg.Moves.GiveWay(p.member.Node, m.Key, m.Party)
		return
	}
	n.cfg.Moves.Kept(p.member.Node, m.Key, m.Party)
}
