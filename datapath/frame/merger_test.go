package frame

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

var all = Kinds{TCP4: true, TCP6: true, UDP: true}

// gap is what lies between the frames of received records: the header of a record and the tag
// of the one before.
const gap = 31

// received puts frames one behind the other into buffers, as the records of a receiver lie, with
// their capacities reaching to the ends of the buffers.
func received(frames [][]byte) [][]byte {
	var out [][]byte
	var buf []byte
	for _, f := range frames {
		if len(f)+gap > len(buf) {
			buf = make([]byte, 65536)
		}
		n := copy(buf[gap:], f)
		out = append(out, buf[gap:gap+n])
		buf = buf[gap+n:]
	}
	return out
}

// merge adds frames with unfinished checksums, and returns what comes out.
func merge(t interface{ Fatalf(string, ...any) }, m *Merger, frames [][]byte) []Frame {
	var out []Frame
	flush := func() {
		f, ok := m.Flush()
		if !ok {
			t.Fatalf("a run is lost")
		}
		out = append(out, f)
	}
	for i, data := range received(frames) {
		f, ok := Unfinished(data)
		if !ok {
			f = Frame{Data: data}
		}
		if m.Add(f) {
			continue
		}
		if !bytes.Equal(data, frames[i]) {
			t.Fatalf("frame %d was not taken, and has changed", i)
		}
		flush()
		if !m.Add(f) {
			t.Fatalf("frame %d begins no run", i)
		}
	}
	if len(frames) > 0 {
		flush()
	}
	if f, ok := m.Flush(); ok {
		t.Fatalf("a second run: %+v", f)
	}
	return out
}

// cutAgain returns the segments that frames are cut into.
func cutAgain(t interface{ Fatalf(string, ...any) }, frames []Frame) [][]byte {
	var out [][]byte
	for _, f := range frames {
		if f.Kind == Single {
			out = append(out, f.Data)
			continue
		}
		l, ok := Parse(f.Data)
		var c Cutter
		if !ok || !c.Begin(&f, l, 1<<17) {
			t.Fatalf("%d bytes of kind %d, segments of %d: cannot be cut", len(f.Data), f.Kind, f.Segment)
		}
		out = append(out, cut(t, &c, c.Longest())...)
	}
	return out
}

func equal(t interface{ Fatalf(string, ...any) }, got, want [][]byte) {
	if len(got) != len(want) {
		t.Fatalf("%d segments, want %d", len(got), len(want))
	}
	for i := range got {
		if !bytes.Equal(got[i], want[i]) {
			t.Fatalf("segment %d of %d:\n%x, want\n%x", i, len(got), got[i], want[i])
		}
	}
}

// TestMergerRestoresSuperFrames: all segments of one, in order, become that one again.
func TestMergerRestoresSuperFrames(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := anySuper(t)
		if s.udp {
			s.segment = max(s.segment, uint16(len(s.payload)/maxDatagrams+1))
		}
		whole := s.build()
		var frames [][]byte
		for _, seg := range s.segments(int(s.segment)) {
			frames = append(frames, seg.Data)
		}
		if len(frames) == 1 {
			whole.Kind, whole.Segment = Single, 0
		}
		m := Merger{Kinds: all}
		got := merge(t, &m, frames)
		if len(got) != 1 {
			t.Fatalf("%d segments became %d frames", len(frames), len(got))
		}
		if !bytes.Equal(got[0].Data, whole.Data) {
			t.Fatalf("%x, want\n%x", got[0].Data, whole.Data)
		}
		got[0].Data, whole.Data = nil, nil
		if got[0].Kind != whole.Kind || got[0].Segment != whole.Segment || !got[0].Partial || got[0].Start != whole.Start || got[0].Offset != whole.Offset {
			t.Fatalf("%+v, want %+v", got[0], whole)
		}
	})
}

// TestMergerChangesNothing cuts super-frames of a few flows, loses, repeats, mixes and damages
// the segments, and merges what is left. Cut again, it is what the merger was given.
func TestMergerChangesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var sent [][]byte
		original := make(map[string]bool) // with their checksums finished
		for range rapid.IntRange(1, 4).Draw(t, "super-frames") {
			s := anySuper(t)
			f := s.build()
			l, _ := Parse(f.Data)
			var c Cutter
			if !c.Begin(&f, l, 1<<17) {
				t.Fatal("refused")
			}
			for _, data := range cut(t, &c, c.Longest()) {
				sent = append(sent, data)
				u, _ := Unfinished(data)
				original[string(finished(t, u))] = true
			}
		}
		var arrived [][]byte
		for _, data := range sent {
			switch rapid.IntRange(0, 15).Draw(t, "fate") {
			case 0:
			case 1:
				arrived = append(arrived, data, data)
			case 2:
				at := rapid.IntRange(0, len(arrived)).Draw(t, "place")
				arrived = append(arrived[:at], append([][]byte{data}, arrived[at:]...)...)
			default:
				arrived = append(arrived, data)
			}
		}
		m := Merger{Kinds: Kinds{TCP4: rapid.Bool().Draw(t, "TCP4"), TCP6: rapid.Bool().Draw(t, "TCP6"), UDP: rapid.Bool().Draw(t, "UDP takes")}}
		if rapid.Bool().Draw(t, "damage") && len(arrived) > 0 {
			i := rapid.IntRange(0, len(arrived)-1).Draw(t, "frame")
			at := rapid.IntRange(0, min(100, len(arrived[i])-1)).Draw(t, "byte")
			arrived[i] = bytes.Clone(arrived[i])
			arrived[i][at] ^= rapid.Byte().Draw(t, "by")
			equal(t, cutAgain(t, merge(t, &m, arrived)), arrived)
			return
		}
		out := merge(t, &m, arrived)
		for _, f := range out {
			if f.Kind != Single && !m.Kinds.has(f.Kind) || len(f.Data)-14-len(twoTags) > maxPacket {
				t.Fatalf("kind %d of %d bytes, the consumer takes %+v", f.Kind, len(f.Data), m.Kinds)
			}
		}
		got := cutAgain(t, out)
		equal(t, got, arrived)
		for i, data := range got {
			u, ok := Unfinished(data)
			if whole := finished(t, u); !ok || !valid(whole) || !original[string(whole)] {
				t.Fatalf("frame %d is none of those that were sent", i)
			}
		}
	})
}

// TestMergerHeaders: a frame that differs from the run anywhere else than segments do is not
// taken, even if its IPv4 checksum is right.
func TestMergerHeaders(t *testing.T) {
	for _, s := range []sample{
		{payload: make([]byte, 300), ipOptions: []byte{1, 1, 1, 1}, options: []byte{1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2}},
		{v6: true, payload: make([]byte, 300)},
		{v6: true, payload: make([]byte, 300), extension: 60},
		{udp: true, payload: make([]byte, 300)},
		{udp: true, v6: true, payload: make([]byte, 300)},
		{tags: oneTag, payload: make([]byte, 300)},
		{tags: twoTags, v6: true, payload: make([]byte, 300)},
	} {
		segs := s.segments(100)
		first, l3, l4 := segs[0].Data, 14+len(s.tags), int(segs[0].Start)
		refused := func(what string, at int, change func(data []byte)) {
			second := bytes.Clone(segs[1].Data)
			change(second)
			if ip := second[l3:l4]; !s.v6 && at != l3+10 && at != l3+11 {
				binary.BigEndian.PutUint16(ip[10:], 0)
				binary.BigEndian.PutUint16(ip[10:], ^naiveSum(ip))
			}
			m := Merger{Kinds: all}
			if got := merge(t, &m, [][]byte{first, second}); len(got) != 2 {
				t.Errorf("%+v: %s %d is not looked at", s, what, at)
			}
		}
		for at := range s.headerLen() {
			for bit := range 8 {
				if flag := 1 << bit; !s.udp && at == l4+tcpFlags && (flag == flagPSH || flag == flagFIN) {
					continue
				}
				refused("byte", at, func(data []byte) { data[at] ^= 1 << bit })
			}
		}
		// Exchanged words leave the sums as they are.
		refused("ports at", l4, func(data []byte) {
			data[l4], data[l4+1], data[l4+2], data[l4+3] = data[l4+2], data[l4+3], data[l4], data[l4+1]
		})
		source, n := l3+12, 4
		if s.v6 {
			source, n = l3+8, 16
		}
		refused("addresses at", source, func(data []byte) {
			from := bytes.Clone(data[source : source+n])
			copy(data[source:], data[source+n:source+2*n])
			copy(data[source+n:], from)
		})
	}
}

// TestMergerBegins: nothing is added to a frame that could not be restored.
func TestMergerBegins(t *testing.T) {
	whole := sample{payload: make([]byte, 300)}
	for _, c := range []struct {
		name   string
		of     sample
		change func(*Frame)
		want   bool
	}{
		{"nothing special", whole, func(*Frame) {}, true},
		{"a wrong IPv4 checksum", whole, func(f *Frame) { f.Data[24]++ }, false},
		{"a checksum that is no sum", whole, func(f *Frame) { f.Data[50], f.Data[51] = 0, 0 }, false},
		{"a super-frame", whole, func(f *Frame) { f.Kind, f.Segment = TCP4, 50 }, false},
		{"a frame that is whole", whole, func(f *Frame) { f.Partial = false }, false},
		{"an inner checksum", whole, func(f *Frame) { f.Start += 20 }, false},
		{"SYN", sample{payload: whole.payload, flags: flagSYN}, func(*Frame) {}, false},
		{"RST", sample{payload: whole.payload, flags: flagRST}, func(*Frame) {}, false},
		{"urgent data", sample{payload: whole.payload, flags: flagURG}, func(*Frame) {}, false},
	} {
		segs := c.of.segments(100)
		first := segs[0]
		first.Data = append(make([]byte, 0, 1000), first.Data...)
		c.change(&first)
		m := Merger{Kinds: all}
		if !m.Add(first) {
			t.Errorf("%s: is not taken", c.name)
		}
		if got := m.Add(segs[1]); got != c.want {
			t.Errorf("%s: another is taken: %v", c.name, got)
		}
	}
}

// TestMergerContinues: a frame is looked at, and not only what is said of it.
func TestMergerContinues(t *testing.T) {
	tcp, udp := sample{payload: make([]byte, 300), id: 0xfffe}, sample{udp: true, payload: make([]byte, 300)}
	for _, c := range []struct {
		name   string
		of     sample
		change func(*Frame)
	}{
		{"a frame that is whole", tcp, func(f *Frame) { f.Partial = false }},
		{"a super-frame", tcp, func(f *Frame) { f.Kind, f.Segment = TCP4, 50 }},
		{"another start", tcp, func(f *Frame) { f.Start++ }},
		{"another offset", tcp, func(f *Frame) { f.Offset++ }},
		{"a header alone", tcp, func(f *Frame) { f.Data = f.Data[:54] }},
		{"a part of a header", tcp, func(f *Frame) { f.Data = f.Data[:53] }},
		{"another total length", tcp, func(f *Frame) { f.Data = f.Data[:153] }},
		{"another UDP length", udp, func(f *Frame) { f.Data[39]-- }},
		{"two changes with one sum", tcp, func(f *Frame) { f.Data[20], f.Data[22] = 0, 128 }},
		{"the ID 0, whose sum is that of 0xffff", tcp, func(f *Frame) { f.Data[18], f.Data[19] = 0, 0 }},
	} {
		segs := c.of.segments(100)
		first := segs[0]
		first.Data = append(make([]byte, 0, 1000), first.Data...)
		m := Merger{Kinds: all}
		m.Add(first)
		c.change(&segs[1])
		if m.Add(segs[1]) {
			t.Errorf("%s: taken", c.name)
		}
	}
}

// TestMergerEnds shows where a run ends.
func TestMergerEnds(t *testing.T) {
	base := sample{payload: make([]byte, 500), flags: 0x10}
	flags := func(i int, flags byte) func(segs []sample) {
		return func(segs []sample) { segs[i].flags |= flags }
	}
	for _, c := range []struct {
		name   string
		change func(segs []sample)
		kinds  Kinds
		want   []int // segments in each frame
	}{
		{"nothing special", func([]sample) {}, all, []int{5}},
		{"a consumer that takes none", func([]sample) {}, Kinds{TCP6: true, UDP: true}, []int{1, 1, 1, 1, 1}},
		{"PSH", flags(1, flagPSH), all, []int{2, 3}},
		{"PSH in the first", flags(0, flagPSH), all, []int{1, 4}},
		{"FIN", flags(4, flagFIN), all, []int{5}},
		{"CWR in the first", flags(0, flagCWR), all, []int{5}},
		{"CWR later", flags(2, flagCWR), all, []int{2, 3}},
		{"another flag", flags(2, 0x40), all, []int{2, 1, 2}},
		{"SYN", flags(0, flagSYN), all, []int{1, 4}},
		{"RST", flags(0, flagRST), all, []int{1, 4}},
		{"urgent data", flags(0, flagURG), all, []int{1, 4}},
		{"a shorter one", func(segs []sample) {
			segs[2].payload = segs[2].payload[:99]
			segs[3].seq--
			segs[4].seq--
		}, all, []int{3, 2}},
		{"a longer one", func(segs []sample) {
			segs[2].payload = make([]byte, 101)
			segs[3].seq++
			segs[4].seq++
		}, all, []int{2, 2, 1}}, // the fourth is a shorter one than the third
		{"one without payload", func(segs []sample) {
			segs[2].payload = nil
			segs[3].seq -= 100
			segs[4].seq -= 100
		}, all, []int{2, 1, 2}},
		{"a gap in the sequence", func(segs []sample) { segs[2].seq++ }, all, []int{2, 1, 2}},
		{"the same ID twice", func(segs []sample) { segs[3].id-- }, all, []int{3, 1, 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			segs := make([]sample, 5)
			for i := range segs {
				segs[i] = base
				segs[i].payload = base.payload[:100]
				segs[i].id += uint16(i)
				segs[i].seq += uint32(100 * i)
			}
			c.change(segs)
			var frames [][]byte
			for _, s := range segs {
				frames = append(frames, s.build().Data)
			}
			m := Merger{Kinds: c.kinds}
			out := merge(t, &m, frames)
			var got []int
			for _, f := range out {
				got = append(got, len(cutAgain(t, []Frame{f})))
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("runs of %v, want %v", got, c.want)
			}
			equal(t, cutAgain(t, out), frames)
		})
	}
}

// TestMergerBounds: a run ends where its memory ends, where IPv4 cannot say its length, and after
// as many datagrams as the kernel merges.
func TestMergerBounds(t *testing.T) {
	segs := sample{payload: make([]byte, 300)}.segments(100)
	for _, c := range []struct {
		capacity int
		want     bool
	}{{254, true}, {253, false}} {
		first := segs[0]
		first.Data = append(make([]byte, 0, c.capacity), first.Data...)[:len(first.Data):c.capacity]
		m := Merger{Kinds: all}
		m.Add(first)
		if got := m.Add(segs[1]); got != c.want {
			t.Errorf("a capacity of %d bytes: %v", c.capacity, got)
		}
	}
	for _, v6 := range []bool{false, true} {
		s := sample{v6: v6, payload: make([]byte, 80000)}
		first := s.segments(1000)[0]
		first.Data = append(make([]byte, 0, 90000), first.Data...)
		m := Merger{Kinds: all}
		m.Add(first)
		n := 1
		for _, f := range s.segments(1000)[1:] {
			if !m.Add(f) {
				break
			}
			n++
		}
		f, _ := m.Flush()
		if l, ok := Parse(f.Data); n != 65 || !ok || len(f.Data)-l.Payload != 65000 {
			t.Errorf("IPv6 %v: %d segments, %d bytes, %v", v6, n, len(f.Data), ok)
		}
	}
	var frames [][]byte
	for _, f := range (sample{udp: true, payload: make([]byte, 1000)}).segments(10) {
		frames = append(frames, f.Data)
	}
	m := Merger{Kinds: all}
	if out := merge(t, &m, frames); len(out) != 2 || len(cutAgain(t, out[:1])) != maxDatagrams {
		t.Errorf("100 datagrams became %d frames", len(out))
	}
}

// TestMergerLeavesRestAlone: nothing behind a frame changes when it is added.
func TestMergerLeavesRestAlone(t *testing.T) {
	var frames [][]byte
	for _, f := range (sample{payload: make([]byte, 5000)}).segments(100) {
		frames = append(frames, f.Data)
	}
	placed := received(frames)
	m := Merger{Kinds: all}
	for i, data := range placed {
		f, _ := Unfinished(data)
		if !m.Add(f) {
			t.Fatalf("frame %d is not taken", i)
		}
		equal(t, placed[i+1:], frames[i+1:])
	}
}

func TestMergerDoesNotAllocate(t *testing.T) {
	var frames [][]byte
	for _, f := range (sample{payload: make([]byte, 60000)}).segments(1368) {
		frames = append(frames, f.Data)
	}
	placed := received(frames)
	m := Merger{Kinds: all}
	allocs := testing.AllocsPerRun(100, func() {
		for i, data := range placed {
			copy(data, frames[i])
			if f, _ := Unfinished(data); !m.Add(f) {
				t.Fatalf("frame %d is not taken", i)
			}
		}
		if f, ok := m.Flush(); !ok || f.Kind != TCP4 {
			t.Fatalf("%+v, %v", f, ok)
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

// FuzzMerger: whatever peers send, cutting what comes out gives back what came in.
func FuzzMerger(f *testing.F) {
	for _, s := range []sample{{payload: make([]byte, 50)}, {v6: true, payload: make([]byte, 50)}, {udp: true, payload: make([]byte, 50)}, {udp: true, v6: true, payload: make([]byte, 50)}, {tags: oneTag, payload: make([]byte, 50)}, {tags: twoTags, v6: true, payload: make([]byte, 50)}} {
		segs := s.segments(20)
		f.Add(segs[0].Data, segs[1].Data, segs[2].Data)
	}
	f.Fuzz(func(t *testing.T, a, b, c []byte) {
		if max(len(a), len(b), len(c)) > 60000 {
			return
		}
		m := Merger{Kinds: all}
		frames := [][]byte{a, b, c}
		equal(t, cutAgain(t, merge(t, &m, frames)), frames)
	})
}
