package symphony

import (
	"math"

	"evio/overlay/nodeid"
)

// Topology says how many links a node wants and where the far ones lead. It is
// stateless; all nodes of a ring use the same one.
type Topology interface {
	// Successors is how many of the next nodes clockwise each node links to.
	Successors() int
	// LongDistance is the number of long-distance links that a node draws on a ring
	// of about n nodes. It accepts at most twice as many from others.
	LongDistance(n float64) int
	// Point is where a long-distance link of self leads on a ring of about n nodes:
	// to the first node at or after it. u is uniform in [0, 1).
	Point(self nodeid.ID, n, u float64) nodeid.ID
}

var _ Topology = Symphony{}

// Symphony is the ring of the paper with k = ⌈log2 n⌉.
type Symphony struct{}

// Successors is 2: the ring stays whole over the loss of any one node.
func (Symphony) Successors() int { return 2 }

// LongDistance is ⌈log2 n⌉.
func (Symphony) LongDistance(n float64) int {
	if n <= 1 {
		return 0
	}
	return int(math.Ceil(math.Log2(n)))
}

// Point draws from the harmonic distribution p(x) = 1/(x ln n) on [1/n, 1) by its
// inverse, x = e^(ln n · (u − 1)). The logarithm is the natural one: the link's
// length is then spread evenly over all scales down to a single segment. Any other
// base cuts the short scales off, and paths grow like a power of n.
func (Symphony) Point(self nodeid.ID, n, u float64) nodeid.ID {
	return at(self, min(math.Exp(math.Log(max(n, 1))*(u-1)), belowOne))
}

// belowOne is the largest float64 below 1: x may round up to 1, a whole turn.
const belowOne = 1 - 1.0/(1<<53)
