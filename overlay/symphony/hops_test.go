package symphony_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"evio/overlay/nodeid"
	"evio/overlay/symphony"
	"evio/overlay/symphony/symphonytest"
)

// decimal is Symphony with the logarithm to base 10 in the draw, which looks as
// harmless as it is wrong.
type decimal struct{ symphony.Symphony }

func (decimal) Point(self nodeid.ID, n, u float64) nodeid.ID {
	// The part of the circle is e^(log10 n · (u − 1)) = e^(ln n^(1/ln 10) · (u − 1)).
	return symphony.Symphony{}.Point(self, math.Pow(n, 1/math.Ln10), u)
}

// TestGreedyRoute measures the way to a random node on a ring of 1,024, by greedy
// routing with lookahead and by clockwise greedy routing, which is the way of floods.
func TestGreedyRoute(t *testing.T) {
	const n, pairs = 1024, 20000
	average, longest, flood := route(symphony.Symphony{}, n, pairs)
	t.Logf("natural logarithm, n = %d: average %.2f hops, longest %d; clockwise %.2f", n, average, longest, flood)
	if average > 3.2 || longest > 8 || flood > 5 {
		t.Errorf("natural logarithm: average %.2f hops (want ≤ 3.2), longest %d (want ≤ 8), clockwise %.2f (want ≤ 5)", average, longest, flood)
	}
	average, longest, flood = route(decimal{}, n, pairs)
	t.Logf("logarithm to base 10, n = %d: average %.2f hops, longest %d; clockwise %.2f", n, average, longest, flood)
	if average <= 3.2 || flood <= 5 {
		t.Errorf("logarithm to base 10 passes: average %.2f hops, clockwise %.2f: the bounds above guard nothing", average, flood)
	}
}

// route returns the average and longest way with lookahead, and the average way by
// clockwise hops alone, between random nodes of a ring of n.
func route(topology symphony.Topology, n, pairs int) (average float64, longest int, flood float64) {
	rnd := rand.New(rand.NewPCG(3, uint64(n)))
	net := symphonytest.New(symphony.Config{Topology: topology}, rnd)
	net.JoinAtOnce(n)
	net.Settle()
	ids := net.IDs()
	table := map[nodeid.ID][]symphony.Neighbour{}
	for _, id := range ids {
		table[id] = neighbours(net, id)
	}
	var hops, turns int
	for range pairs {
		from, to := ids[rnd.IntN(n)], ids[rnd.IntN(n)]
		h := walk(from, to, table, n)
		hops += h
		longest = max(longest, h)
		turns += clockwise(from, to, table)
	}
	return float64(hops) / float64(pairs), longest, float64(turns) / float64(pairs)
}

// neighbours returns what a node knows for routing.
func neighbours(net *symphonytest.Network, id nodeid.ID) []symphony.Neighbour {
	var all []symphony.Neighbour
	for _, l := range net.Nodes[id].Ring.Neighbours() {
		all = append(all, symphony.Neighbour{ID: l, Neighbours: net.Nodes[l].Ring.Neighbours()})
	}
	return all
}

// walk returns the number of hops of NextHop between two nodes, −1 when the way does
// not lead there within limit.
func walk(from, to nodeid.ID, table map[nodeid.ID][]symphony.Neighbour, limit int) int {
	for h := range limit {
		if from == to {
			return h
		}
		next, ok := symphony.NextHop(from, to, table[from])
		if !ok {
			return -1
		}
		from = next
	}
	return -1
}

// clockwise returns the number of hops to the nearest neighbour before the target,
// again and again.
func clockwise(from, to nodeid.ID, table map[nodeid.ID][]symphony.Neighbour) int {
	h := 0
	for ; from != to; h++ {
		best := from
		for _, n := range table[from] { // clockwise from from
			if n.ID == to || forward(from, n.ID, to) {
				best = n.ID
			}
		}
		from = best
	}
	return h
}

// forward reports whether b lies between a and c, clockwise.
func forward(a, b, c nodeid.ID) bool {
	ab, bc, ac := nodeid.Compare(a, b) < 0, nodeid.Compare(b, c) < 0, nodeid.Compare(a, c) < 0
	if ac {
		return ab && bc
	}
	return ab || bc
}

// TestNextHopArrives: on every ring at rest the way leads to the target, or, where no
// node has that ID, to the node nearest to it.
func TestNextHopArrives(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rnd := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 2))
		net := symphonytest.New(symphony.Config{}, rnd)
		net.JoinAtOnce(rapid.IntRange(1, 100).Draw(t, "nodes"))
		net.Settle()
		ids := net.IDs()
		table := map[nodeid.ID][]symphony.Neighbour{}
		for _, id := range ids {
			table[id] = neighbours(net, id)
		}
		for range 50 {
			from, to := ids[rnd.IntN(len(ids))], ids[rnd.IntN(len(ids))]
			if h := walk(from, to, table, len(ids)); h < 0 {
				t.Fatalf("%d nodes: no way from %s to %s", len(ids), from, to)
			}
			target := symphonytest.RandomID(rnd)
			at := from
			for range 2 * len(ids) {
				next, ok := symphony.NextHop(at, target, table[at])
				if !ok {
					break
				}
				at = next
			}
			for _, id := range ids {
				if symphony.Nearer(id, at, target) {
					t.Fatalf("%d nodes: the way to %s ends at %s, %s is nearer", len(ids), target, at, id)
				}
			}
		}
	})
}
