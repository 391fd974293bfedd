package symphony_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"evio/overlay/nodeid"
	"evio/overlay/symphony"
	"evio/overlay/symphonytest"
)

// decimal is Symphony with the logarithm to base 10 in the draw, which looks as
// harmless as it is wrong.
type decimal struct{ symphony.Symphony }

func (decimal) Point(self nodeid.ID, n, u float64) nodeid.ID {
	// The part of the circle is e^(log10 n · (u − 1)) = e^(ln n^(1/ln 10) · (u − 1)).
	return symphony.Symphony{}.Point(self, math.Pow(n, 1/math.Ln10), u)
}

// late is a topology without long-distance links until far is set, which makes the
// arrival of many nodes cheap.
type late struct {
	symphony.Topology
	far *bool
}

func (l late) LongDistance(n float64) int {
	if *l.far {
		return l.Topology.LongDistance(n)
	}
	return 0
}

// TestGreedyRoute measures the way to a random node on a ring of 1,024: by greedy
// routing with lookahead, and clockwise, which is the way of floods.
func TestGreedyRoute(t *testing.T) {
	r := route(symphony.Symphony{}, 1024)
	t.Logf("n = 1024: with lookahead %.2f hops on average, %d at most; clockwise %.2f, %d", r.average, r.longest, r.turns, r.longestTurn)
	if r.average > 3.2 || r.longest > 8 {
		t.Errorf("with lookahead %.2f hops on average (want ≤ 3.2), %d at most (want ≤ 8)", r.average, r.longest)
	}
	if r.turns > 5 || r.longestTurn > 15 {
		t.Errorf("clockwise %.2f hops on average (want ≤ 5), %d at most (want ≤ 15)", r.turns, r.longestTurn)
	}
}

// TestNaturalLogarithm: the same draw with base 10 is seen in the clockwise way, which
// it makes half as long again at n = 256 and longer with every doubling. (Lookahead in
// both directions hides it on rings that small.)
func TestNaturalLogarithm(t *testing.T) {
	natural, base10 := route(symphony.Symphony{}, 256), route(decimal{}, 256)
	t.Logf("n = 256, clockwise: natural logarithm %.2f hops, base 10 %.2f", natural.turns, base10.turns)
	const bound = 3.9
	if natural.turns > bound {
		t.Errorf("natural logarithm: %.2f hops clockwise, want ≤ %v", natural.turns, bound)
	}
	if base10.turns <= bound {
		t.Errorf("base 10: %.2f hops clockwise: a bound of %v guards nothing", base10.turns, bound)
	}
}

// ways are lengths of ways between random nodes.
type ways struct {
	average     float64 // with lookahead
	longest     int
	turns       float64 // by clockwise hops alone
	longestTurn int
}

// route measures a ring of n nodes.
func route(topology symphony.Topology, n int) ways {
	const pairs = 2000
	rnd := rand.New(rand.NewPCG(3, uint64(n)))
	far := false
	net := symphonytest.New(symphony.Config{Topology: late{topology, &far}}, rnd)
	net.JoinAtOnce(n)
	far = true
	net.Settle()
	ids := net.IDs()
	table := map[nodeid.ID][]symphony.Neighbour{}
	for _, id := range ids {
		table[id] = neighbours(net, id)
	}
	var w ways
	for range pairs {
		from, to := ids[rnd.IntN(n)], ids[rnd.IntN(n)]
		h, turns := walk(from, to, table, n), clockwise(from, to, table)
		w.average += float64(h) / pairs
		w.turns += float64(turns) / pairs
		w.longest, w.longestTurn = max(w.longest, h), max(w.longestTurn, turns)
	}
	return w
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
		net.JoinAtOnce(rapid.IntRange(1, 50).Draw(t, "nodes"))
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
