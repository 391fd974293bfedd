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
	"evio/overlay/symphonytest"
)

// start is early enough for headers that name no time.
var start = time.Unix(100, 0)

func genuine() bool { return true }

// id returns the ID whose first byte is b: node b of a ring of 256 places.
func id(b byte) nodeid.ID { return nodeid.ID{b} }

// frames is a budget of n frames a second and at once, of any size.
func frames(n float64) flood.Budget {
	return flood.Budget{Frames: n, FrameBurst: n, Bytes: 1e15, ByteBurst: 1e15}
}

var unlimited = flood.Config{Own: frames(1e15), Ingress: frames(1e15), Origin: frames(1e15)}

// arcs returns who is sent to and which arc end each is given.
func arcs(copies []flood.Send) map[nodeid.ID]nodeid.ID {
	m := map[nodeid.ID]nodeid.ID{}
	for _, c := range copies {
		m[c.To] = c.Header.ArcEnd
	}
	return m
}

func TestOriginate(t *testing.T) {
	f := flood.New(id(50), 7, flood.Config{})
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
			copies := f.Originate(tc.neighbours, start)
			if diff := cmp.Diff(tc.want, arcs(copies)); diff != "" {
				t.Errorf("arcs (-want +got):\n%s", diff)
			}
			for _, c := range copies {
				if c.Header.Origin != id(50) || c.Header.Start != 7 || c.Header.Seq != uint64(i+1) || c.Header.Time != 100_000 {
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
		f := flood.New(id(self), 1, flood.Config{})
		_, copies, drop := f.Receive(id(origin), flood.Header{Origin: id(origin), ArcEnd: id(end)}, 100, genuine, ids, start)
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
	h := flood.Header{Origin: id(20), Start: 1, Seq: 1, ArcEnd: id(100)}
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
	f := flood.New(id(50), 1, flood.Config{})
	for _, s := range []step{
		{"the first time", 40, h, true, map[nodeid.ID]nodeid.ID{id(60): id(80), id(80): id(100)}, flood.NoDrop},
		{"the same again", 40, h, false, nil, flood.Duplicate},
		{"the same by another way", 45, h, false, nil, flood.Duplicate},
		{"a part of it", 45, with(func(h *flood.Header) { h.ArcEnd = id(70) }), false, nil, flood.Duplicate},
		{"more of it", 45, with(func(h *flood.Header) { h.ArcEnd = id(15) }), false, map[nodeid.ID]nodeid.ID{id(80): id(10), id(10): id(15)}, flood.NoDrop},
		{"what was given before", 45, h, false, nil, flood.Duplicate},
		{"an empty arc", 40, with(func(h *flood.Header) { h.Seq, h.ArcEnd = 2, id(55) }), true, nil, flood.NoDrop},
		{"the first of it with nodes", 45, with(func(h *flood.Header) { h.Seq, h.ArcEnd = 2, id(70) }), false, map[nodeid.ID]nodeid.ID{id(60): id(70)}, flood.NoDrop},
		{"an arc up to the origin", 40, with(func(h *flood.Header) { h.Seq, h.ArcEnd = 3, id(20) }), true, map[nodeid.ID]nodeid.ID{id(60): id(80), id(80): id(10), id(10): id(20)}, flood.NoDrop},
		{"an arc past the origin", 40, with(func(h *flood.Header) { h.Seq, h.ArcEnd = 4, id(21) }), false, nil, flood.BadArc},
		{"an arc of the whole ring", 40, with(func(h *flood.Header) { h.Seq, h.ArcEnd = 4, id(50) }), false, nil, flood.BadArc},
		{"an arc around the sender", 70, with(func(h *flood.Header) { h.Seq = 4 }), false, nil, flood.BadArc},
		{"an own frame", 40, with(func(h *flood.Header) { h.Origin = id(50) }), false, nil, flood.OwnFrame},
		{"forged", 40, with(func(h *flood.Header) { h.Seq, h.Signature = 6, flood.Signature{1} }), false, nil, flood.Forged},
		{"more of it, forged", 40, with(func(h *flood.Header) { h.Seq, h.ArcEnd, h.Signature = 2, id(100), flood.Signature{1} }), false, nil, flood.Forged},
		{"more of it, signed", 40, with(func(h *flood.Header) { h.Seq = 2 }), false, map[nodeid.ID]nodeid.ID{id(60): id(80), id(80): id(100)}, flood.NoDrop},
		{"the same, signed", 40, with(func(h *flood.Header) { h.Seq = 6 }), true, map[nodeid.ID]nodeid.ID{id(60): id(80), id(80): id(100)}, flood.NoDrop},
		{"another start of the origin", 40, with(func(h *flood.Header) { h.Start = 2 }), true, map[nodeid.ID]nodeid.ID{id(60): id(80), id(80): id(100)}, flood.NoDrop},
		{"the start before, late", 40, h, false, nil, flood.Duplicate},
	} {
		t.Run(s.name, func(t *testing.T) {
			signed := func() bool { return s.header.Signature == flood.Signature{} }
			deliver, forward, drop := f.Receive(id(s.from), s.header, 100, signed, neighbours, start)
			if deliver != s.deliver || drop != s.drop {
				t.Errorf("delivered %v, dropped for %v, want %v, %v", deliver, drop, s.deliver, s.drop)
			}
			if len(forward) == 0 && len(s.forward) == 0 {
				return
			}
			if diff := cmp.Diff(s.forward, arcs(forward)); diff != "" {
				t.Errorf("arcs (-want +got):\n%s", diff)
			}
		})
	}
	want := map[string]uint64{"duplicate": 5, "bad-arc": 3, "own-frame": 1, "forged": 2}
	if diff := cmp.Diff(want, f.Stats().ByCause()); diff != "" {
		t.Errorf("drops (-want +got):\n%s", diff)
	}
	if s := f.Stats(); s.Received != 19 || s.Delivered != 5 || s.Copies != 14 {
		t.Errorf("stats %+v", s)
	}
}

// TestNumbersAreRememberedExactly: of the last numbers each is delivered once, in
// whatever order they come; what is behind them is not delivered.
func TestNumbersAreRememberedExactly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := flood.New(id(50), 1, unlimited)
		jumps := rapid.OneOf(rapid.Uint64Range(0, 70), rapid.Uint64Range(0, 6000), rapid.Uint64Range(0, 1<<50))
		seen, highest := map[uint64]bool{}, uint64(0)
		for range rapid.IntRange(1, 300).Draw(t, "frames") {
			seq := highest + jumps.Draw(t, "jump")
			if rapid.Bool().Draw(t, "late") {
				seq = highest - min(highest, jumps.Draw(t, "behind"))
			}
			want := !seen[seq] && seq+4096 > highest
			if deliver, _, drop := f.Receive(id(40), flood.Header{Origin: id(20), Seq: seq, ArcEnd: id(60)}, 100, genuine, nil, start); deliver != want {
				t.Fatalf("number %d, highest %d: delivered %v, dropped for %v, want %v", seq, highest, deliver, drop, want)
			}
			if want {
				seen[seq], highest = true, max(highest, seq)
			}
		}
	})
}

// TestForgery: a member makes up the numbers to come, other starts and other arcs of an
// origin, as many as it can: nothing is delivered or handed on, and neither the
// origin's frames nor those of others are missed.
func TestForgery(t *testing.T) {
	f := flood.New(id(50), 1, flood.Config{})
	neighbours := []nodeid.ID{id(55), id(57)}
	rnd := rand.New(rand.NewPCG(3, 3))
	asked := 0
	for i := range uint64(20_000) { // 10 s
		now := start.Add(time.Duration(i) * 500 * time.Microsecond)
		for _, h := range []flood.Header{
			{Origin: id(20), Start: 1, Seq: i/10 + 1, ArcEnd: id(60)},
			{Origin: id(20), Start: 1, Seq: rnd.Uint64(), ArcEnd: id(60)},
			{Origin: id(20), Start: rnd.Uint64(), Seq: i, ArcEnd: id(60)},
		} {
			deliver, forward, _ := f.Receive(id(45), h, 100, func() bool { asked++; return false }, neighbours, now)
			if deliver || len(forward) > 0 {
				t.Fatalf("forged %+v: delivered %v, forwarded %v", h, deliver, forward)
			}
		}
		if i%10 != 0 {
			continue
		}
		for _, origin := range []byte{20, 21} {
			h := flood.Header{Origin: id(origin), Start: 1, Seq: i/10 + 1, ArcEnd: id(60)}
			if deliver, forward, drop := f.Receive(id(40), h, 100, genuine, neighbours, now); !deliver || len(forward) != 2 {
				t.Fatalf("number %d of %d: delivered %v, forwarded %v, dropped for %v", h.Seq, origin, deliver, forward, drop)
			}
		}
	}
	if asked > 250*11 {
		t.Errorf("%d forged frames of 60,000 in 10 s were looked at closely, want at most 250 a second", asked)
	}
	if drops := f.Stats().ByCause(); drops["forged"] == 0 || drops["ingress-limit"] == 0 || drops["origin-limit"] > 0 {
		t.Errorf("drops %v", drops)
	}
}

// TestFurtherArcs: a member brings a frame of another over and over, each time with a
// longer arc. That is charged to who brings it, never to the origin.
func TestFurtherArcs(t *testing.T) {
	f := flood.New(id(50), 1, flood.Config{})
	h := flood.Header{Origin: id(20), Start: 1, Seq: 1, ArcEnd: id(60)}
	f.Receive(id(40), h, 100, genuine, nil, start)
	forwarded := 0
	for i := range uint64(40_000) { // 10 s
		now := start.Add(time.Duration(i) * 250 * time.Microsecond)
		h := h
		h.ArcEnd = nodeid.ID{70, byte(i >> 8), byte(i)} // longer each time
		deliver, forward, _ := f.Receive(id(45), h, 100, genuine, []nodeid.ID{id(60)}, now)
		if deliver {
			t.Fatal("it was delivered again")
		}
		forwarded += len(forward)
		if i%100 != 0 {
			continue
		}
		next := flood.Header{Origin: id(20), Start: 1, Seq: 2 + i/100, ArcEnd: id(60)}
		if deliver, _, drop := f.Receive(id(40), next, 100, genuine, nil, now); !deliver {
			t.Fatalf("number %d of the origin is dropped for %v", next.Seq, drop)
		}
	}
	if forwarded == 0 || forwarded > 3125*11/4 {
		t.Errorf("%d copies were handed on in 10 s, want some, and at most a quarter of what an origin may", forwarded)
	}
}

// TestTime: a frame is taken within five minutes of the time that its origin names.
func TestTime(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	for i, tc := range []struct {
		name string
		sent time.Time
		want flood.Cause
	}{
		{"now", now, flood.NoDrop},
		{"lately", now.Add(-5 * time.Minute), flood.NoDrop},
		{"by a clock that is ahead", now.Add(5 * time.Minute), flood.NoDrop},
		{"too long ago", now.Add(-5*time.Minute - time.Millisecond), flood.Untimely},
		{"from the future", now.Add(5*time.Minute + time.Millisecond), flood.Untimely},
	} {
		f := flood.New(id(50), 1, flood.Config{})
		h := flood.Header{Origin: id(20), Seq: uint64(i), Time: uint64(tc.sent.UnixMilli()), ArcEnd: id(60)}
		if deliver, _, drop := f.Receive(id(40), h, 100, genuine, nil, now); drop != tc.want || deliver != (drop == flood.NoDrop) {
			t.Errorf("%s: delivered %v, dropped for %v, want %v", tc.name, deliver, drop, tc.want)
		}
	}
	f := flood.New(id(50), 1, flood.Config{})
	if _, _, drop := f.Receive(id(40), flood.Header{Origin: id(20), Time: 1<<64 - 1, ArcEnd: id(60)}, 100, genuine, nil, now); drop != flood.Untimely {
		t.Errorf("at the end of time: dropped for %v", drop)
	}
}

// TestLimits: first the neighbour's, then the origin's, and both refill.
func TestLimits(t *testing.T) {
	f := flood.New(id(50), 1, flood.Config{Ingress: frames(10), Origin: frames(4), Own: frames(4)})
	seq := uint64(0)
	receive := func(from, origin byte, now time.Time) flood.Cause {
		seq++
		_, _, drop := f.Receive(id(from), flood.Header{Origin: id(origin), Seq: seq, ArcEnd: id(51)}, 100, genuine, nil, now)
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
		{"and half a second on", 6, 41, 20, time.Second, map[flood.Cause]int{flood.NoDrop: 2, flood.OriginLimit: 4}},
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

// TestForgeryIsChargedToNoOrigin: where one frame is all that an origin may send, one that
// somebody forges does not use it up, nor does its number.
func TestForgeryIsChargedToNoOrigin(t *testing.T) {
	f := flood.New(id(50), 1, flood.Config{Ingress: frames(1000), Origin: frames(1)})
	h := flood.Header{Origin: id(20), Seq: 1, ArcEnd: id(60)}
	forged := func() bool { return false }
	if _, _, drop := f.Receive(id(45), h, 100, forged, nil, start); drop != flood.Forged {
		t.Fatalf("dropped for %v", drop)
	}
	if deliver, _, drop := f.Receive(id(45), h, 100, genuine, nil, start); !deliver {
		t.Errorf("the genuine one is dropped for %v", drop)
	}
}

// TestThreeLives: frames of a start that was forgotten for newer ones are not new again.
func TestThreeLives(t *testing.T) {
	f := flood.New(id(50), 1, flood.Config{})
	frame := func(start, seq, at uint64) flood.Header {
		return flood.Header{Origin: id(20), Start: start, Seq: seq, Time: at, ArcEnd: id(60)}
	}
	for i, s := range []struct {
		header  flood.Header
		deliver bool
	}{
		{frame(7, 1, 100_000), true},
		{frame(7, 2, 100_010), true},
		{frame(8, 1, 100_020), true},
		{frame(9, 1, 100_030), true}, // the third: 7 is forgotten
		{frame(7, 1, 100_000), false},
		{frame(7, 2, 100_010), false},
		{frame(8, 1, 100_020), false},
		{frame(8, 2, 100_025), true}, // late, of a life that is known
		{frame(9, 1, 100_030), false},
		{frame(5, 1, 100_040), true}, // the fourth
		{frame(7, 2, 100_010), false},
		{frame(9, 2, 100_050), true}, // 9 was forgotten, and lives
	} {
		if deliver, _, drop := f.Receive(id(40), s.header, 100, genuine, nil, start); deliver != s.deliver {
			t.Errorf("step %d, %d of %d: delivered %v, dropped for %v", i, s.header.Seq, s.header.Start, deliver, drop)
		}
	}
}

// TestLimitedFrameIsNotSeen: what a limit dropped arrives when it comes again.
func TestLimitedFrameIsNotSeen(t *testing.T) {
	f := flood.New(id(50), 1, flood.Config{Origin: frames(1)})
	h := flood.Header{Origin: id(20), Seq: 1, ArcEnd: id(60)}
	f.Receive(id(40), h, 100, genuine, nil, start)
	h.Seq = 2
	if _, _, drop := f.Receive(id(40), h, 100, genuine, nil, start); drop != flood.OriginLimit {
		t.Fatalf("dropped for %v", drop)
	}
	deliver, forward, _ := f.Receive(id(40), h, 100, genuine, []nodeid.ID{id(55)}, start.Add(time.Second))
	if !deliver || len(forward) != 1 {
		t.Errorf("delivered %v, forwarded %v", deliver, forward)
	}
}

// TestMemoryIsBounded: any number of origins, neighbours and arcs takes no more
// memory than a few thousand.
func TestMemoryIsBounded(t *testing.T) {
	f := flood.New(id(50), 1, unlimited)
	rnd := rand.New(rand.NewPCG(4, 4))
	for i := range uint64(40_000) {
		h := flood.Header{Origin: symphonytest.RandomID(rnd), Start: rnd.Uint64(), Seq: i}
		h.ArcEnd = h.Origin
		f.Receive(symphonytest.RandomID(rnd), h, 100, genuine, nil, start)
	}
	neighbours, origins, forwarded := f.Remembered()
	if neighbours > 1024 || origins > 1024 || forwarded > 16*1024 {
		t.Errorf("%d neighbours, %d origins, %d arcs are remembered", neighbours, origins, forwarded)
	}
}

func BenchmarkReceive(b *testing.B) {
	b.ReportAllocs()
	f := flood.New(id(50), 1, unlimited)
	neighbours := []nodeid.ID{id(60), id(80), id(100), id(200), id(10), id(40)}
	h := flood.Header{Origin: id(20), ArcEnd: id(150)}
	for b.Loop() {
		h.Seq++
		f.Receive(id(40), h, 100, genuine, neighbours, start)
	}
}
