package flood_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"evio/overlay/flood"
	"evio/overlay/nodeid"
	"evio/overlay/symphony/symphonytest"
)

var start = time.Unix(1000, 0)

// id returns the ID whose first byte is b: node b of a ring of 256 places.
func id(b byte) nodeid.ID { return nodeid.ID{b} }

// frames is a budget of n frames a second and at once, of any size.
func frames(n float64) flood.Budget {
	return flood.Budget{Frames: n, FrameBurst: n, Bytes: 1e15, ByteBurst: 1e15}
}

var unlimited = flood.Config{Ingress: frames(1e15), Origin: frames(1e15)}

// arcs returns who is sent to and which arc end each is given.
func arcs(copies []flood.Send) map[nodeid.ID]nodeid.ID {
	m := map[nodeid.ID]nodeid.ID{}
	for _, c := range copies {
		m[c.To] = c.Header.ArcEnd
	}
	return m
}

func TestOriginate(t *testing.T) {
	f := flood.New(id(50), 7)
	for i, tc := range []struct {
		name       string
		neighbours []nodeid.ID
		want       map[nodeid.ID]nodeid.ID
	}{
		{"alone", nil, map[nodeid.ID]nodeid.ID{}},
		{"one answers for the whole ring", []nodeid.ID{id(60)}, map[nodeid.ID]nodeid.ID{id(60): id(50)}},
		{"each up to the next", []nodeid.ID{id(60), id(90), id(10)}, map[nodeid.ID]nodeid.ID{id(60): id(90), id(90): id(10), id(10): id(50)}},
		{"neighbours in disorder", []nodeid.ID{id(10), id(90), id(50), id(60), id(90)}, map[nodeid.ID]nodeid.ID{id(60): id(90), id(90): id(10), id(10): id(50)}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			given := slices.Clone(tc.neighbours)
			copies := f.Originate(tc.neighbours)
			if diff := cmp.Diff(tc.want, arcs(copies)); diff != "" {
				t.Errorf("arcs (-want +got):\n%s", diff)
			}
			for _, c := range copies {
				if c.Header.Origin != id(50) || c.Header.Start != 7 || c.Header.Seq != uint64(i+1) || c.Header.HopLimit == 0 {
					t.Errorf("header %+v", c.Header)
				}
			}
			if !slices.Equal(given, tc.neighbours) {
				t.Error("the neighbours given were changed")
			}
		})
	}
}

// TestSplitIsAPartition: whatever the neighbours and the arc, the copies are for the
// neighbours inside it, each for the part up to the next, and what is not inside is
// nobody's.
func TestSplitIsAPartition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		place := rapid.Byte()
		self, origin, end := place.Draw(t, "self"), place.Draw(t, "origin"), place.Draw(t, "arc end")
		neighbours := rapid.SliceOfDistinct(place, rapid.ID[byte]).Draw(t, "neighbours")
		var ids []nodeid.ID
		for _, b := range neighbours {
			ids = append(ids, id(b))
		}
		f := flood.New(id(self), 1)
		_, copies, drop := f.Receive(id(origin), flood.Header{Origin: id(origin), ArcEnd: id(end), HopLimit: 9}, 100, ids, start)
		// On a ring of 256 places byte arithmetic is the ring's: the way from self.
		way := func(b byte) int { return int(b - self) }
		arc := way(end)
		if end == self {
			arc = 256
		}
		if origin == self {
			if drop != flood.OwnFrame {
				t.Fatalf("an own frame is dropped for %v", drop)
			}
			return
		}
		if way(origin) < arc {
			if drop != flood.BadArc {
				t.Fatalf("an arc around its origin is dropped for %v", drop)
			}
			return
		}
		want := map[nodeid.ID]nodeid.ID{}
		next := end
		slices.SortFunc(neighbours, func(a, b byte) int { return way(b) - way(a) })
		for _, b := range neighbours {
			if b != self && way(b) < arc {
				want[id(b)] = id(next)
				next = b
			}
		}
		if diff := cmp.Diff(want, arcs(copies)); diff != "" {
			t.Fatalf("arcs (-want +got):\n%s", diff)
		}
	})
}

func TestReceive(t *testing.T) {
	neighbours := []nodeid.ID{id(60), id(80), id(10)}
	h := flood.Header{Origin: id(20), Start: 1, Seq: 1, ArcEnd: id(100), HopLimit: 5}
	with := func(change func(*flood.Header)) flood.Header {
		h := h
		change(&h)
		return h
	}
	type step struct {
		name    string
		from    byte
		header  flood.Header
		deliver bool
		forward map[nodeid.ID]nodeid.ID
		drop    flood.Cause
	}
	f := flood.New(id(50), 1)
	for _, s := range []step{
		{"the first time", 40, h, true, map[nodeid.ID]nodeid.ID{id(60): id(80), id(80): id(100)}, flood.NoDrop},
		{"the same again", 40, h, false, nil, flood.Duplicate},
		{"the same by another way", 45, h, false, nil, flood.Duplicate},
		{"another arc of it", 45, with(func(h *flood.Header) { h.ArcEnd = id(70) }), false, map[nodeid.ID]nodeid.ID{id(60): id(70)}, flood.NoDrop},
		{"that arc again", 45, with(func(h *flood.Header) { h.ArcEnd = id(70) }), false, nil, flood.Duplicate},
		{"an empty arc", 40, with(func(h *flood.Header) { h.Seq, h.ArcEnd = 2, id(55) }), true, nil, flood.NoDrop},
		{"an arc up to the origin", 40, with(func(h *flood.Header) { h.Seq, h.ArcEnd = 3, id(20) }), true, map[nodeid.ID]nodeid.ID{id(60): id(80), id(80): id(10), id(10): id(20)}, flood.NoDrop},
		{"an arc past the origin", 40, with(func(h *flood.Header) { h.Seq, h.ArcEnd = 4, id(21) }), false, nil, flood.BadArc},
		{"an arc of the whole ring", 40, with(func(h *flood.Header) { h.Seq, h.ArcEnd = 4, id(50) }), false, nil, flood.BadArc},
		{"an arc around the sender", 70, with(func(h *flood.Header) { h.Seq = 4 }), false, nil, flood.BadArc},
		{"the last hop", 40, with(func(h *flood.Header) { h.Seq, h.HopLimit = 4, 0 }), true, nil, flood.HopLimit},
		{"the last hop of an empty arc", 40, with(func(h *flood.Header) { h.Seq, h.HopLimit, h.ArcEnd = 5, 0, id(55) }), true, nil, flood.NoDrop},
		{"an own frame", 40, with(func(h *flood.Header) { h.Origin = id(50) }), false, nil, flood.OwnFrame},
		{"another start of the origin", 40, with(func(h *flood.Header) { h.Start = 2 }), true, map[nodeid.ID]nodeid.ID{id(60): id(80), id(80): id(100)}, flood.NoDrop},
		{"the start before, late", 40, h, false, nil, flood.Duplicate},
	} {
		t.Run(s.name, func(t *testing.T) {
			deliver, forward, drop := f.Receive(id(s.from), s.header, 100, neighbours, start)
			if deliver != s.deliver || drop != s.drop {
				t.Errorf("delivered %v, dropped for %v, want %v, %v", deliver, drop, s.deliver, s.drop)
			}
			if len(forward) == 0 && len(s.forward) == 0 {
				return
			}
			if diff := cmp.Diff(s.forward, arcs(forward)); diff != "" {
				t.Errorf("arcs (-want +got):\n%s", diff)
			}
			for _, c := range forward {
				if c.Header.HopLimit != s.header.HopLimit-1 {
					t.Errorf("hop limit %d became %d", s.header.HopLimit, c.Header.HopLimit)
				}
			}
		})
	}
	want := map[string]uint64{"duplicate": 4, "bad-arc": 3, "own-frame": 1, "hop-limit": 1}
	if diff := cmp.Diff(want, f.Stats().ByCause()); diff != "" {
		t.Errorf("drops (-want +got):\n%s", diff)
	}
	if s := f.Stats(); s.Received != 15 || s.Delivered != 6 || s.Copies != 8 {
		t.Errorf("stats %+v", s)
	}
}

// TestJumpSuppressesNothing: whatever numbers came before, a number that did not come
// is delivered; one that came is not delivered again while its surroundings were used
// not long ago.
func TestJumpSuppressesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := flood.NewConfig(id(50), 1, unlimited)
		// Starting points of runs: few enough that their blocks are all remembered.
		points := rapid.SliceOfN(rapid.Uint64(), 1, 4).Draw(t, "points")
		seen := map[uint64]bool{}
		for range rapid.IntRange(1, 300).Draw(t, "frames") {
			seq := points[rapid.IntRange(0, len(points)-1).Draw(t, "point")] + rapid.Uint64Range(0, 250).Draw(t, "offset")
			deliver, _, _ := f.Receive(id(40), flood.Header{Origin: id(20), Seq: seq, ArcEnd: id(60)}, 100, nil, start)
			if deliver == seen[seq] {
				t.Fatalf("number %d: delivered %v, seen before %v", seq, deliver, seen[seq])
			}
			seen[seq] = true
		}
	})
}

// TestForgery: a member makes up the numbers to come and other starts of an origin, as
// many as it likes; what it did not name exactly arrives.
func TestForgery(t *testing.T) {
	f := flood.NewConfig(id(50), 1, unlimited)
	rnd := rand.New(rand.NewPCG(3, 3))
	for i := range uint64(5000) {
		f.Receive(id(45), flood.Header{Origin: id(20), Start: 1, Seq: 1<<63 + rnd.Uint64N(1<<62), ArcEnd: id(60)}, 100, nil, start)
		f.Receive(id(45), flood.Header{Origin: id(20), Start: 2 + rnd.Uint64N(1<<62), Seq: i, ArcEnd: id(60)}, 100, nil, start)
		if deliver, _, drop := f.Receive(id(40), flood.Header{Origin: id(20), Start: 1, Seq: i, ArcEnd: id(60)}, 100, nil, start); !deliver {
			t.Fatalf("number %d is dropped for %v", i, drop)
		}
	}
}

// TestLimits: first the neighbour's, then the origin's, and both refill.
func TestLimits(t *testing.T) {
	f := flood.NewConfig(id(50), 1, flood.Config{Ingress: frames(10), Origin: frames(4)})
	seq := uint64(0)
	receive := func(from, origin byte, now time.Time) flood.Cause {
		seq++
		_, _, drop := f.Receive(id(from), flood.Header{Origin: id(origin), Seq: seq, ArcEnd: id(51)}, 100, nil, now)
		return drop
	}
	count := func(n int, from, origin byte, now time.Time) map[flood.Cause]int {
		m := map[flood.Cause]int{}
		for range n {
			m[receive(from, origin, now)]++
		}
		return m
	}
	for _, tc := range []struct {
		name         string
		n            int
		from, origin byte
		at           time.Duration
		want         map[flood.Cause]int
	}{
		{"an origin's burst", 6, 40, 20, 0, map[flood.Cause]int{flood.NoDrop: 4, flood.OriginLimit: 2}},
		{"another origin by the same neighbour", 6, 40, 21, 0, map[flood.Cause]int{flood.NoDrop: 4, flood.IngressLimit: 2}},
		{"the first origin by another neighbour", 2, 41, 20, 0, map[flood.Cause]int{flood.OriginLimit: 2}},
		{"half a second later", 6, 40, 20, 500 * time.Millisecond, map[flood.Cause]int{flood.NoDrop: 2, flood.OriginLimit: 3, flood.IngressLimit: 1}},
		{"the clock goes back", 2, 41, 20, 0, map[flood.Cause]int{flood.OriginLimit: 2}},
		{"and a second on", 6, 41, 20, time.Second, map[flood.Cause]int{flood.NoDrop: 4, flood.OriginLimit: 2}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, count(tc.n, tc.from, tc.origin, start.Add(tc.at))); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
	admitted := 0
	for range 10 {
		if f.Admit(100, start) {
			admitted++
		}
	}
	if admitted != 4 || f.Stats().Drops[flood.OwnLimit] != 6 {
		t.Errorf("admitted %d own frames of 10, counted %d refusals", admitted, f.Stats().Drops[flood.OwnLimit])
	}
}

// TestLimitedFrameIsNotSeen: what a limit dropped arrives when it comes again.
func TestLimitedFrameIsNotSeen(t *testing.T) {
	f := flood.NewConfig(id(50), 1, flood.Config{Origin: frames(1)})
	h := flood.Header{Origin: id(20), Seq: 1, ArcEnd: id(60), HopLimit: 1}
	f.Receive(id(40), h, 100, nil, start)
	h.Seq = 2
	if _, _, drop := f.Receive(id(40), h, 100, nil, start); drop != flood.OriginLimit {
		t.Fatalf("dropped for %v", drop)
	}
	deliver, forward, _ := f.Receive(id(40), h, 100, []nodeid.ID{id(55)}, start.Add(time.Second))
	if !deliver || len(forward) != 1 {
		t.Errorf("delivered %v, forwarded %v", deliver, forward)
	}
}

// TestMemoryIsBounded: any number of origins, neighbours and arcs takes no more
// memory than a few thousand.
func TestMemoryIsBounded(t *testing.T) {
	f := flood.NewConfig(id(50), 1, unlimited)
	rnd := rand.New(rand.NewPCG(4, 4))
	for i := range uint64(20000) {
		h := flood.Header{Origin: symphonytest.RandomID(rnd), Start: rnd.Uint64(), Seq: i}
		h.ArcEnd = h.Origin
		f.Receive(symphonytest.RandomID(rnd), h, 100, nil, start)
	}
	neighbours, origins, forwarded := f.Remembered()
	if neighbours > 1024 || origins > 1024 || forwarded > 4096 {
		t.Errorf("%d neighbours, %d origins, %d arcs are remembered", neighbours, origins, forwarded)
	}
}

func BenchmarkReceive(b *testing.B) {
	b.ReportAllocs()
	f := flood.NewConfig(id(50), 1, unlimited)
	neighbours := []nodeid.ID{id(60), id(80), id(100), id(200), id(10), id(40)}
	h := flood.Header{Origin: id(20), ArcEnd: id(150), HopLimit: 9}
	for b.Loop() {
		h.Seq++
		f.Receive(id(40), h, 100, neighbours, start)
	}
}
