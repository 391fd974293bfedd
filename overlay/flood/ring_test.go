package flood_test

import (
	"math/bits"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"

	"evio/overlay/flood"
	"evio/overlay/nodeid"
	"evio/overlay/symphony"
	"evio/overlay/symphonytest"
)

// overlay floods frames along the rings of a network in memory.
type overlay struct {
	*symphonytest.Network
	floods map[*symphonytest.Node]*flood.Flood
	frames map[frame]*spread
}

// frame names a frame of an origin's life.
type frame struct {
	origin *symphonytest.Node
	seq    uint64
}

// spread is how a frame has spread so far.
type spread struct {
	copies, depth int
	delivered     map[*symphonytest.Node]int
}

func newOverlay(rnd *rand.Rand) *overlay {
	return &overlay{
		Network: symphonytest.New(symphony.Config{}, rnd),
		floods:  map[*symphonytest.Node]*flood.Flood{}, frames: map[frame]*spread{},
	}
}

func (o *overlay) of(node *symphonytest.Node) *flood.Flood {
	f := o.floods[node]
	if f == nil {
		f = flood.New(node.ID, uint64(len(o.floods)), flood.Config{})
		o.floods[node] = f
	}
	return f
}

// flood has a node flood a frame and returns where its spread will be found.
func (o *overlay) flood(origin nodeid.ID) *spread {
	node := o.Nodes[origin]
	copies := o.of(node).Originate(node.Ring.Neighbours(), o.Now)
	s := &spread{delivered: map[*symphonytest.Node]int{}}
	if len(copies) > 0 {
		o.frames[frame{node, copies[0].Header.Seq}] = s
	}
	o.send(s, node, copies, 1)
	return s
}

func (o *overlay) send(s *spread, from *symphonytest.Node, copies []flood.Send, depth int) {
	for _, c := range copies {
		s.copies++
		o.Send(from, c.To, func(to *symphonytest.Node) {
			header, _, err := flood.ParseHeader(flood.AppendHeader(nil, c.Header))
			if err != nil {
				panic(err)
			}
			deliver, forward, _ := o.of(to).Receive(from.ID, header, 100, genuine, to.Ring.Neighbours(), o.Now)
			if deliver {
				s.delivered[to]++
				s.depth = max(s.depth, depth)
			}
			o.send(s, to, forward, depth+1)
		})
	}
}

// checkOnce checks that the spread has reached each of these nodes exactly once, and
// nobody else, by one copy each.
func (o *overlay) checkOnce(t rapid.TB, s *spread, nodes []nodeid.ID) {
	t.Helper()
	for _, id := range nodes {
		if got := s.delivered[o.Nodes[id]]; got != 1 {
			t.Fatalf("%s has got the frame %d times (%d nodes, %d copies)", id, got, len(nodes), s.copies)
		}
	}
	if s.copies != len(nodes) || len(s.delivered) != len(nodes) {
		t.Fatalf("%d copies reached %d nodes, want %d and %d", s.copies, len(s.delivered), len(nodes), len(nodes))
	}
}

// checkTwice checks that nobody has got any frame twice.
func (o *overlay) checkTwice(t rapid.TB) {
	t.Helper()
	for f, s := range o.frames {
		for node, times := range s.delivered {
			if times > 1 {
				t.Fatalf("%s has got frame %d of %s %d times", node.ID, f.seq, f.origin.ID, times)
			}
		}
	}
}

func seeded(t *rapid.T) *rand.Rand {
	return rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 11))
}

// except returns ids without one.
func except(ids []nodeid.ID, one nodeid.ID) []nodeid.ID {
	var rest []nodeid.ID
	for _, id := range ids {
		if id != one {
			rest = append(rest, id)
		}
	}
	return rest
}

// depth is how deep a flood may go on a ring of n nodes.
func depth(n int) int { return 2*bits.Len(uint(n-1)) + 1 }

func checkRest(t rapid.TB, o *overlay) {
	t.Helper()
	o.Settle()
	ids := o.IDs()
	for _, origin := range ids {
		s := o.flood(origin)
		o.Run()
		o.checkOnce(t, s, except(ids, origin))
		if s.depth > depth(len(ids)) {
			t.Fatalf("%d nodes: %d hops deep, want ≤ %d", len(ids), s.depth, depth(len(ids)))
		}
	}
}

// TestOnceOnARingAtRest: n − 1 copies, each node once, in O(log n) hops.
func TestOnceOnARingAtRest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := newOverlay(seeded(t))
		o.JoinAtOnce(rapid.IntRange(1, 60).Draw(t, "nodes"))
		checkRest(t, o)
	})
}

func TestOnceOnARingOf200(t *testing.T) {
	o := newOverlay(rand.New(rand.NewPCG(7, 7)))
	o.JoinAtOnce(200)
	checkRest(t, o)
}

// TestOnceBeforeLinks: sessions exist, and links are being agreed upon or have not
// even been asked for; each node gets each frame once all the same.
func TestOnceBeforeLinks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rnd := seeded(t)
		o := newOverlay(rnd)
		o.JoinAtOnce(rapid.IntRange(1, 40).Draw(t, "nodes"))
		o.Loss = float64(rapid.IntRange(0, 100).Draw(t, "loss percent")) / 100
		ids := o.IDs()
		var spreads []*spread
		for range 20 {
			spreads = append(spreads, o.flood(ids[rnd.IntN(len(ids))]))
			for range rnd.IntN(4 * len(ids)) {
				o.Step()
			}
			if rnd.IntN(4) == 0 {
				o.Tick(600 * time.Millisecond)
			}
		}
		o.Run()
		for _, s := range spreads {
			for _, id := range ids {
				if got := s.delivered[o.Nodes[id]]; got > 1 {
					t.Fatalf("%s has got a frame %d times", id, got)
				}
			}
			if s.copies != len(ids)-1 || len(s.delivered) != len(ids)-1 {
				t.Fatalf("%d copies reached %d of %d other nodes", s.copies, len(s.delivered), len(ids)-1)
			}
		}
	})
}

// TestOnceWhileOthersJoin: nodes that were there keep getting each frame once while
// newcomers find their way in, each of them at most once.
func TestOnceWhileOthersJoin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rnd := seeded(t)
		o := newOverlay(rnd)
		o.JoinAtOnce(rapid.IntRange(2, 20).Draw(t, "nodes"))
		if rapid.Bool().Draw(t, "at rest before") {
			o.Settle()
		}
		o.Loss = float64(rapid.IntRange(0, 50).Draw(t, "loss percent")) / 100
		old := o.IDs()
		var spreads []*spread
		var origins []nodeid.ID
		for range 20 {
			if rnd.IntN(3) == 0 {
				o.Join(symphonytest.RandomID(rnd))
			}
			origin := old[rnd.IntN(len(old))]
			origins, spreads = append(origins, origin), append(spreads, o.flood(origin))
			for range rnd.IntN(3 * len(old)) {
				o.Step()
			}
			if rnd.IntN(4) == 0 {
				o.Tick(600 * time.Millisecond)
			}
		}
		o.Run()
		for i, s := range spreads {
			for _, id := range except(old, origins[i]) {
				if got := s.delivered[o.Nodes[id]]; got != 1 {
					t.Fatalf("frame %d: %s, which was there before, has got it %d times", i, id, got)
				}
			}
		}
		o.checkTwice(t)
		checkRest(t, o)
	})
}

// TestOnceInAPartialMesh: some pairs never get a session. Whoever has one with the
// origin gets each frame of it once.
func TestOnceInAPartialMesh(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rnd := seeded(t)
		o := newOverlay(rnd)
		share := rapid.IntRange(0, 80).Draw(t, "pairs apart, percent")
		salt := rnd.Uint64()
		o.Apart = func(a, b nodeid.ID) bool {
			x := salt
			for i := range a {
				x += uint64(a[i]^b[i]) << (8 * (i % 8))
			}
			return rand.New(rand.NewPCG(x, x)).IntN(100) < share
		}
		o.JoinAtOnce(rapid.IntRange(2, 20).Draw(t, "nodes"))
		if rapid.Bool().Draw(t, "at rest") {
			o.Settle()
		}
		for _, origin := range o.IDs() {
			s := o.flood(origin)
			o.Run()
			for _, id := range except(o.IDs(), origin) {
				got := s.delivered[o.Nodes[id]]
				if got > 1 || got == 0 && o.HasSession(o.Nodes[origin], id) {
					t.Fatalf("%s has got a frame of %s %d times", id, origin, got)
				}
			}
		}
	})
}

// TestNeverTwiceWhileChurning: nodes come and go in the middle of floods.
func TestNeverTwiceWhileChurning(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rnd := seeded(t)
		o := newOverlay(rnd)
		o.JoinAtOnce(rapid.IntRange(1, 40).Draw(t, "nodes"))
		o.Loss = float64(rapid.IntRange(0, 50).Draw(t, "loss percent")) / 100
		var gone []nodeid.ID
		for range rapid.IntRange(1, 60).Draw(t, "events") {
			ids := o.IDs()
			switch rnd.IntN(8) {
			case 0:
				o.Join(symphonytest.RandomID(rnd))
			case 1:
				if len(gone) > 0 {
					o.Join(gone[rnd.IntN(len(gone))])
				}
			case 2:
				if len(ids) > 1 {
					id := ids[rnd.IntN(len(ids))]
					o.Leave(id)
					gone = append(gone, id)
				}
			case 3:
				o.Tick(600 * time.Millisecond)
			default:
				o.flood(ids[rnd.IntN(len(ids))])
			}
			for range rnd.IntN(3 * len(ids)) {
				o.Step()
			}
		}
		o.Run()
		o.checkTwice(t)
		checkRest(t, o)
	})
}
