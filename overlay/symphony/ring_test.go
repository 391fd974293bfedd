package symphony_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"evio/overlay/nodeid"
	"evio/overlay/symphony"
	"evio/overlay/symphonytest"
)

// churn draws an overlay in which nodes come and go while messages overtake each
// other and get lost, and leaves it in the middle of that.
func churn(t *rapid.T, cfg symphony.Config, most int) *symphonytest.Network {
	rnd := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
	net := symphonytest.New(cfg, rnd)
	var gone []nodeid.ID
	for range rapid.IntRange(1, most).Draw(t, "nodes at first") {
		net.Join(symphonytest.RandomID(rnd))
	}
	net.Loss = float64(rapid.IntRange(0, 60).Draw(t, "loss percent")) / 100
	for range rapid.IntRange(0, 12).Draw(t, "events") {
		ids := net.IDs()
		switch rapid.IntRange(0, 4).Draw(t, "event") {
		case 0:
			net.Join(symphonytest.RandomID(rnd))
		case 1:
			if len(ids) > 1 {
				id := ids[rnd.IntN(len(ids))]
				net.Leave(id)
				gone = append(gone, id)
			}
		case 2:
			if len(gone) > 0 {
				net.Join(gone[rnd.IntN(len(gone))])
			}
		case 3:
			for range rnd.IntN(20 * len(ids)) {
				net.Step()
			}
		case 4:
			net.Tick(time.Duration(rnd.IntN(4000)) * time.Millisecond)
		}
	}
	return net
}

// checkRing checks what holds on a ring at rest.
func checkRing(t rapid.TB, net *symphonytest.Network) {
	t.Helper()
	ids := net.IDs()
	for i, id := range ids {
		node := net.Nodes[id]
		var next []nodeid.ID
		for j := 1; j < len(ids) && j <= 2; j++ {
			next = append(next, ids[(i+j)%len(ids)])
		}
		if diff := cmp.Diff(next, node.Ring.Successors()); diff != "" {
			t.Fatalf("%d nodes, successors of %s (-want +got):\n%s", len(ids), id, diff)
		}
		links := map[nodeid.ID]symphony.EdgeType{}
		var neighbours []nodeid.ID
		count := map[symphony.EdgeType]int{}
		for _, l := range node.Ring.Links() {
			links[l.ID] = l.Type
			neighbours = append(neighbours, l.ID)
			count[l.Type]++
			other := net.Nodes[l.ID]
			if other == nil {
				t.Fatalf("%s has a link to %s, which is gone", id, l.ID)
			}
			if got := other.Links[id]; got != l.Type.Mirror() {
				t.Fatalf("%s has a %s link to %s, whose end is %s", id, l.Type, l.ID, got)
			}
		}
		if diff := cmp.Diff(links, node.Links); diff != "" {
			t.Fatalf("links of %s (-ring +effects):\n%s", id, diff)
		}
		if got := node.Ring.Neighbours(); !slices.Equal(got, neighbours) {
			t.Fatalf("neighbours of %s: %v, want its links %v", id, got, neighbours)
		}
		k := symphony.Symphony{}.LongDistance(2 * node.Ring.Estimate())
		if count[symphony.Successor] > 2 || count[symphony.Predecessor] > 2 ||
			count[symphony.LongDistance] > k || count[symphony.Incoming] > 2*k {
			t.Fatalf("%d nodes, k ≤ %d: links of %s: %v", len(ids), k, id, count)
		}
	}
}

// TestRingHeals: whatever happened before, once messages arrive again the ring has
// its true successors, symmetric edges and bounded degree.
func TestRingHeals(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		net := churn(t, symphony.Config{}, 40)
		net.Settle()
		checkRing(t, net)
	})
}

// TestRingOf200 is the same with one large ring; most of its nodes leave at once.
func TestRingOf200(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 200))
	net := symphonytest.New(symphony.Config{}, rnd)
	net.Loss = 0.2
	for range 200 {
		net.Join(symphonytest.RandomID(rnd))
	}
	net.Run()
	net.Settle()
	checkRing(t, net)
	for _, id := range net.IDs() {
		if rnd.IntN(10) > 0 {
			net.Leave(id)
		}
	}
	net.Settle()
	checkRing(t, net)
}

// TestFullMesh: every node is a link of every other.
func TestFullMesh(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		net := churn(t, symphony.Config{Topology: symphonytest.FullMesh{}}, 16)
		net.Settle()
		for id, node := range net.Nodes {
			want := slices.DeleteFunc(net.IDs(), func(o nodeid.ID) bool { return o == id })
			got := node.Ring.Neighbours()
			slices.SortFunc(got, nodeid.Compare)
			if diff := cmp.Diff(want, got); diff != "" && len(want) > 0 {
				t.Fatalf("neighbours of %s (-want +got):\n%s", id, diff)
			}
			for other, typ := range node.Links {
				if net.Nodes[other].Links[id] != typ.Mirror() {
					t.Fatalf("%s has a %s link to %s, whose end is %s", id, typ, other, net.Nodes[other].Links[id])
				}
			}
		}
	})
}
