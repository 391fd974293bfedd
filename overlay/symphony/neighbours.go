package symphony

import (
	"encoding/binary"

	"evio/overlay/nodeid"
)

// Neighbours returns the nodes that a flood goes to, clockwise from this node. Each
// has a session. It is the ring links once they are agreed upon and all nodes reach
// each other; before that and without that, it is as many more as it takes for a flood
// to reach everybody (see the package's doc). The slice is the Ring's and must not be
// changed; the next event makes a new one.
func (r *Ring) Neighbours() []nodeid.ID {
	if r.neighbours != nil {
		return r.neighbours
	}
	ids := make([]nodeid.ID, 0, len(r.pairs))
	relied := false // the last neighbour reaches everybody up to the next one
	for i := range r.members {
		id := r.member(i)
		linked, same := false, false
		if j, known := r.findPair(id); known {
			linked = r.pairs[j].current != None
			same = linked && r.pairs[j].peerView == r.view
		}
		if linked || !relied {
			ids = append(ids, id)
			relied = same
		}
	}
	r.neighbours = ids
	return ids
}

// tellView has those that rely on it told when the set of nodes that this node reaches
// has changed. Of a node more they learn by the next Tick, until when they take less
// for granted than they could; of a node less at once.
func (r *Ring) tellView() {
	for _, p := range r.pairs {
		if p.current != None && p.told != r.view {
			p.due = true
		}
	}
}

// mark is the number of one node in that of a set, which is the exclusive or of all:
// the ID's two halves, spread over 64 bits.
func mark(id nodeid.ID) uint64 {
	x := binary.BigEndian.Uint64(id[:8]) ^ spread(binary.BigEndian.Uint64(id[8:]))
	return spread(x)
}

// spread is the bijection that ends SplitMix64 (Steele, Lea, Flood, OOPSLA 2014): each
// bit of x changes about half of the bits.
func spread(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
