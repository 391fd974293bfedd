package symphony_test

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"testing"

	"evio/overlay/nodeid"
	"evio/overlay/symphony"
	"evio/overlay/symphonytest"
)

// TestPointIsHarmonic: the logarithm of the drawn distance is uniform between one
// segment and the whole circle, so each tenth of that range has a tenth of the draws.
func TestPointIsHarmonic(t *testing.T) {
	const n, draws, bins = 1000.0, 100000, 10
	var count [bins]int
	for i := range draws {
		p := symphony.Symphony{}.Point(nodeid.ID{}, n, (float64(i)+0.5)/draws)
		x := float64(binary.BigEndian.Uint64(p[:8])) / (1 << 63) / 2
		count[int(bins*(1+math.Log(x)/math.Log(n)))]++
	}
	for i, c := range count {
		if c < draws/bins-2 || c > draws/bins+2 {
			t.Errorf("between n^%.1f and n^%.1f of the circle: %d draws of %d", float64(i-bins)/bins, float64(i+1-bins)/bins, c, draws)
		}
	}
}

func TestPointStaysOnTheCircle(t *testing.T) {
	self := nodeid.ID{0: 0xff, 15: 0xff}
	for _, n := range []float64{0, 1, 2, 1 << 32} {
		for _, u := range []float64{0, 0.5, math.Nextafter(1, 0)} {
			p := symphony.Symphony{}.Point(self, n, u)
			if p == (nodeid.ID{}) {
				t.Errorf("Point(n = %v, u = %v) has overflowed", n, u)
			}
		}
	}
}

func TestLongDistanceCount(t *testing.T) {
	for n, want := range map[float64]int{0: 0, 1: 0, 2: 1, 3: 2, 4: 2, 5: 3, 16: 4, 1000: 10, 1024: 10, 1025: 11} {
		if got := (symphony.Symphony{}).LongDistance(n); got != want {
			t.Errorf("LongDistance(%v) = %d, want %d", n, got, want)
		}
	}
}

// TestEstimate: exact as long as the segments known cover the ring, near on larger
// ones, and bounded where IDs have been made to lie close together.
func TestEstimate(t *testing.T) {
	for _, n := range []int{1, 2, 5, 17} {
		net := symphonytest.New(symphony.Config{}, rand.New(rand.NewPCG(1, uint64(n))))
		net.JoinAtOnce(n)
		for _, node := range net.Nodes {
			if got := node.Ring.Estimate(); got != float64(n) {
				t.Errorf("n = %d: estimate %v", n, got)
			}
		}
	}
	const n = 300
	net := symphonytest.New(symphony.Config{}, rand.New(rand.NewPCG(1, n)))
	net.JoinAtOnce(n)
	far := 0
	for _, node := range net.Nodes {
		if got := node.Ring.Estimate(); got < n || got > 2*n {
			far++
		}
	}
	if far > n/20 {
		t.Errorf("%d of %d nodes are off by more than 2", far, n)
	}
	crowd := newRing(0)
	for b := range byte(40) {
		crowd.NodeUp(nodeid.ID{15: b + 1}, start)
		crowd.NodeUp(nodeid.ID{0: 0xff, 1: 0xff, 2: 0xff, 3: 0xff, 4: 0xff, 5: 0xff, 14: b}, start)
	}
	if got := crowd.Estimate(); got > 1<<33 {
		t.Errorf("a crowd of 80 nodes makes the ring %v nodes large", got)
	}
}

func TestMirror(t *testing.T) {
	for _, typ := range []symphony.EdgeType{symphony.None, symphony.Successor, symphony.LongDistance, symphony.Predecessor, symphony.Incoming} {
		if typ.Mirror().Mirror() != typ {
			t.Errorf("%s mirrored twice is %s", typ, typ.Mirror().Mirror())
		}
	}
}
