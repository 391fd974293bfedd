package symphonytest

import (
	"math"

	"evio/overlay/nodeid"
	"evio/overlay/symphony"
)

var _ symphony.Topology = FullMesh{}

// FullMesh makes a link of every session: every other node is a successor. It shows that
// the agreement on links does not depend on the ring's shape.
type FullMesh struct{}

// Successors is everybody.
func (FullMesh) Successors() int { return math.MaxInt }

// LongDistance is 0.
func (FullMesh) LongDistance(float64) int { return 0 }

// Point is not asked for.
func (FullMesh) Point(self nodeid.ID, _, _ float64) nodeid.ID { return self }
