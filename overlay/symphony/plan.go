package symphony

import (
	"math"
	"time"

	"evio/overlay/nodeid"
)

// plan asks for the links that this node should have and gives up those that it
// should not. It is idempotent: without an event in between, a second call finds
// nothing to do, except for draws that had no node left to lead to.
func (r *Ring) plan(now time.Time) {
	r.planSuccessors()
	r.planLongDistance(now)
}

// planSuccessors asks for the next nodes clockwise. An old successor whose link is
// up is kept until the links to all of them are.
func (r *Ring) planSuccessors() {
	n := r.successors()
	ready := true
	for i := range n {
		p := r.pair(r.member(i))
		p.ask(Successor)
		ready = ready && p.edge(r.self) != None
	}
	kept := 0
	for p := range r.clockwise() {
		if p.want != Successor || r.place(p.id) < n {
			continue
		}
		if !ready && p.edge(r.self) != None && kept < n {
			kept++
			continue
		}
		p.ask(None)
	}
}

// planLongDistance draws the links that are missing, and all of them anew when the
// ring has become more than twice or less than half as large as what they were
// drawn for.
func (r *Ring) planLongDistance(now time.Time) {
	redraw := r.drawnFor == 0 || r.estimate > 2*r.drawnFor || r.estimate < r.drawnFor/2
	if redraw {
		r.drawnFor = r.estimate
	}
	k := r.cfg.Topology.LongDistance(r.drawnFor)
	have := 0
	for _, p := range r.pairs {
		if p.want != LongDistance {
			continue
		}
		if redraw || now.Before(p.barred) {
			p.ask(None)
			continue
		}
		have++
	}
	if redraw {
		r.shed(2 * k)
	}
	for ; have < k; have++ {
		i, ok := r.draw(now)
		if !ok {
			return
		}
		r.pair(r.member(i)).ask(LongDistance)
	}
}

// maxDraws is how often a draw that leads to an unfit node is repeated before the
// nearest fit one clockwise is taken; it matters only where few are left.
const maxDraws = 16

// draw returns the place of a node for a new long-distance link.
func (r *Ring) draw(now time.Time) (int, bool) {
	n := len(r.members)
	if n <= 2*r.successors() {
		return 0, false // all are successors or predecessors
	}
	place := 0
	for range maxDraws {
		place = r.owner(r.cfg.Topology.Point(r.self, r.drawnFor, r.rnd.Float64()))
		if r.fit(place, now) {
			return place, true
		}
	}
	for i := range n {
		if j := (place + i) % n; r.fit(j, now) {
			return j, true
		}
	}
	return 0, false
}

// owner returns the place of the first node at or after the point; past the last one
// that is self, for which the first node stands in.
func (r *Ring) owner(point nodeid.ID) int {
	i, _ := r.find(point)
	return r.turn(i)
}

// fit reports whether the node at the place may be drawn: neither a successor nor a
// predecessor, no link yet, and not barred.
func (r *Ring) fit(place int, now time.Time) bool {
	if s := r.successors(); place < s || place >= len(r.members)-s {
		return false
	}
	i, known := r.findPair(r.member(place))
	if !known {
		return true
	}
	p := r.pairs[i]
	return p.want == None && p.edge(r.self) == None && !now.Before(p.barred)
}

// place returns how many places clockwise of self a node that is up lies, 0 the next.
func (r *Ring) place(id nodeid.ID) int {
	i, _ := r.find(id)
	return r.turn(i)
}

// turn makes a place of an index in members.
func (r *Ring) turn(i int) int {
	n := len(r.members)
	return ((i-r.next)%n + n) % n
}

// judge answers what a node newly wants of this one: a successor link always, for
// the ring depends on it; a long-distance link while there are fewer than 2k.
func (r *Ring) judge(want EdgeType) Answer {
	switch want {
	case Successor:
		return Accept
	case LongDistance:
		if r.incoming() < 2*r.cfg.Topology.LongDistance(math.Max(r.drawnFor, 1)) {
			return Accept
		}
		return Refuse
	case None, Predecessor, Incoming:
	}
	return NoAnswer
}

// incoming is the number of long-distance links of others that this node accepted.
func (r *Ring) incoming() int {
	n := 0
	for _, p := range r.pairs {
		if p.peerWant == LongDistance && p.answer == Accept {
			n++
		}
	}
	return n
}

// shed takes back what was accepted beyond the limit, which has become smaller.
func (r *Ring) shed(limit int) {
	excess := r.incoming() - limit
	for _, p := range r.pairs {
		if excess > 0 && p.peerWant == LongDistance && p.answer == Accept {
			p.reply(Refuse)
			excess--
		}
	}
}
