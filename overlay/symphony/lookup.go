package symphony

import "evio/overlay/nodeid"

// Neighbour is a neighbour as routing sees it: its ID and, for the lookahead, the
// neighbours that it told of.
type Neighbour struct {
	ID         nodeid.ID
	Neighbours []nodeid.ID
}

// NextHop returns the neighbour of self to hand a message for target to: greedy in
// both directions of the ring with one-hop lookahead (Manku, Naor, Wieder, STOC
// 2004), that is the neighbour that is itself, or has a neighbour, nearest to the
// target. It reports false when none is nearer than self, where the way ends.
//
// While the neighbour lists are true, the nearest known node comes strictly nearer
// with each hop, so the way ends at the target. With stale lists that is not so: a
// message carries the best distance so far, or a hop limit.
func NextHop(self, target nodeid.ID, neighbours []Neighbour) (nodeid.ID, bool) {
	best := between(self, target)
	var hop nodeid.ID
	var direct, found bool // direct: the hop is the nearest node itself
	consider := func(via, id nodeid.ID) {
		d := between(id, target)
		switch {
		case d.less(best):
		case found && d == best && via == id && !direct:
		default:
			return
		}
		best, hop, direct, found = d, via, via == id, true
	}
	for _, n := range neighbours {
		consider(n.ID, n.ID)
		for _, id := range n.Neighbours {
			if id != self {
				consider(n.ID, id)
			}
		}
	}
	return hop, found
}
