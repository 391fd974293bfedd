package symphony

import (
	"time"

	"evio/overlay/nodeid"
)

// pair is this node's memory of what it and one other node want of each other.
//
// The own side is (want, answer, told) under the number seq; the peer has
// acknowledged the numbers up to acked. An answer of the peer counts for the present
// want once acked has reached wantSeq, the number under which the want was first told.
type pair struct {
	id nodeid.ID

	start   uint32 // names this memory, never 0
	seq     uint32
	want    EdgeType
	wantSeq uint32
	granted EdgeType // the want that the peer has accepted last; None when it has refused
	answer  Answer   // to peerWant
	told    uint64   // the nodes that this node reaches, as last sent to the peer
	acked   uint32

	peerStart uint32 // 0: the peer has sent nothing yet
	peerSeq   uint32
	peerWant  EdgeType
	peerView  uint64 // the nodes that the peer reaches

	due       bool      // a message has to be sent
	comparing bool      // it asks for the peer's view whether or not this one is acknowledged
	tries     int       // sendings since the view changed last
	sent      time.Time // when the last message was sent
	heard     time.Time // when the last message arrived
	barred    time.Time // refused: not drawn again before
	current   EdgeType  // the link as LinkUp and LinkDown have told it
}

// edge is the link as both ends see it, from this side: what this node wants and
// the peer accepted, what the peer wants and this node accepted; of two, what the
// lower node ID wants.
func (p *pair) edge(self nodeid.ID) EdgeType {
	theirs := None
	if p.answer == Accept {
		theirs = p.peerWant.Mirror()
	}
	switch {
	case p.granted == None:
		return theirs
	case theirs == None || nodeid.Compare(self, p.id) < 0:
		return p.granted
	}
	return theirs
}

// ask changes what this node wants of the peer.
func (p *pair) ask(want EdgeType) {
	if p.want == want {
		return
	}
	p.want = want
	if want == None {
		p.granted = None
	}
	p.changed()
	p.wantSeq = p.seq
}

// reply changes the answer to what the peer wants.
func (p *pair) reply(a Answer) {
	if p.answer != a {
		p.answer = a
		p.changed()
	}
}

// changed has the own side sent now, and again until it is acknowledged.
func (p *pair) changed() {
	p.seq++
	p.tries = 0
	p.due = true
}

func (p *pair) unacknowledged() bool { return p.acked < p.seq }

// obsolete reports whether m must change nothing: it is older than what is known,
// or acknowledges what was never said.
func (p *pair) obsolete(m Message) bool {
	return m.Start == p.peerStart && m.Seq < p.peerSeq ||
		m.Echo == p.start && m.Ack > p.seq
}

// receive takes a message that is not obsolete. A refused want is not asked for
// again before barred. judge answers what the peer newly wants; the pair holds no
// want of the peer while it is asked.
func (p *pair) receive(m Message, now, barred time.Time, judge func(want EdgeType) Answer) {
	p.heard = now
	if m.Start != p.peerStart { // the peer is new, or has forgotten all it knew
		p.peerStart, p.peerWant = m.Start, None
		p.acked, p.granted, p.tries = 0, None, 0
		p.reply(NoAnswer)
	}
	p.peerSeq, p.peerView = m.Seq, m.View
	if m.Want != p.peerWant {
		p.peerWant = None
		a := judge(m.Want)
		p.peerWant = m.Want
		p.reply(a)
	}
	p.due = p.due || m.Reply
	if m.Echo != p.start {
		return // the peer had heard nothing of this memory yet
	}
	p.acked = max(p.acked, m.Ack)
	if p.want == None || p.acked < p.wantSeq {
		return // no answer to the present want
	}
	switch m.Answer {
	case Accept:
		p.granted = p.want
	case Refuse:
		p.granted = None
		p.barred = barred
	case NoAnswer:
	}
}

// message returns the own side as it is now, and notes that it was sent. view stands
// for the nodes that this node reaches now.
func (p *pair) message(view uint64, now time.Time) Message {
	if p.told != view {
		p.told = view
		p.changed()
	}
	m := Message{
		Start: p.start, Seq: p.seq, Want: p.want, Answer: p.answer,
		Echo: p.peerStart, Ack: p.peerSeq, View: p.told,
		Reply: p.unacknowledged() || p.comparing,
	}
	p.due, p.comparing = false, false
	p.sent = now
	p.tries++
	return m
}
