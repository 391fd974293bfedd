package frame

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"
)

// segments makes the segments of a super-frame from its description alone, with step bytes of
// payload each.
func (s sample) segments(step int) []Frame {
	var out []Frame
	for at := 0; at == 0 || at < len(s.payload); at += step {
		part := s
		part.segment = 0
		part.payload = s.payload[at:min(at+step, len(s.payload))]
		if !s.v6 {
			part.id += uint16(len(out))
		}
		if !s.udp {
			part.seq += uint32(at)
			if at > 0 {
				part.flags &^= flagCWR
			}
			if at+step < len(s.payload) {
				part.flags &^= flagFIN | flagPSH
			}
		}
		out = append(out, part.build())
	}
	return out
}

// headerLen is the length of the headers of what s describes.
func (s sample) headerLen() int {
	s.payload = nil
	return len(s.build().Data)
}

// cut returns the segments that c has left.
func cut(t interface{ Fatalf(string, ...any) }, c *Cutter, longest int) [][]byte {
	if got := c.Longest(); got != longest {
		t.Fatalf("the longest segment has %d bytes, want %d", got, longest)
	}
	var out [][]byte
	for more := true; more; {
		if n, again := c.Next(make([]byte, c.Longest()-1)); n != 0 || !again {
			t.Fatalf("%d bytes where one is missing, more: %v", n, again)
		}
		dst := make([]byte, longest+9)
		var n int
		n, more = c.Next(dst)
		if n == 0 || !bytes.Equal(dst[n:], make([]byte, len(dst)-n)) {
			t.Fatalf("%d bytes, and something behind them", n)
		}
		out = append(out, dst[:n])
	}
	if n, more := c.Next(make([]byte, 70000)); n != 0 || more || c.Longest() != 0 {
		t.Fatalf("%d bytes behind the last segment", n)
	}
	return out
}

// anySuper draws a super-frame.
func anySuper(t *rapid.T) sample {
	s := anySample(t, rapid.SampledFrom([]int{3, 100, 5000, 60000}).Draw(t, "most"))
	s.segment = uint16(rapid.IntRange(max(1, len(s.payload)/60), max(1, len(s.payload)+1)).Draw(t, "segment"))
	return s
}

// TestCutter compares segments with those that a description of them gives.
func TestCutter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := anySuper(t)
		f := s.build()
		before := bytes.Clone(f.Data)
		l, ok := Parse(f.Data)
		if !ok {
			t.Fatal("no layout")
		}
		step, head := int(s.segment), s.headerLen()
		if rapid.Bool().Draw(t, "Single") && !s.udp {
			f.Kind, f.Segment, step = Single, 0, len(s.payload)
		}
		room := head + rapid.IntRange(max(1, len(s.payload)/60), len(s.payload)+2).Draw(t, "room")
		if !s.udp {
			step = min(step, room-head)
		}
		var c Cutter
		if !c.Begin(&f, l, room) {
			t.Fatal("refused")
		}
		got := cut(t, &c, head+min(step, len(s.payload)))
		want := s.segments(max(1, step))
		if len(got) != len(want) {
			t.Fatalf("%d segments, want %d", len(got), len(want))
		}
		for i := range got {
			if !bytes.Equal(got[i], want[i].Data) {
				t.Fatalf("segment %d of %d:\n%x, want\n%x", i, len(got), got[i], want[i].Data)
			}
			seg := Frame{Data: got[i], Partial: true, Start: f.Start, Offset: f.Offset}
			if !valid(finished(t, seg)) {
				t.Fatalf("segment %d: wrong checksum", i)
			}
		}
		if !bytes.Equal(f.Data, before) {
			t.Fatal("the super-frame has changed")
		}
	})
}

// TestCutterKeepsWhatFits: a frame that needs no cut comes out as it is, even if its IPv4
// checksum is wrong.
func TestCutterKeepsWhatFits(t *testing.T) {
	for _, s := range []sample{{}, {udp: true}, {flags: flagSYN}, {payload: make([]byte, 900), flags: flagURG}, {payload: make([]byte, 900), segment: 1000}} {
		f := s.build()
		f.Data[24] ^= 1
		l, _ := Parse(f.Data)
		var c Cutter
		if !c.Begin(&f, l, 1000) {
			t.Errorf("%+v: refused", s)
		} else if got := cut(t, &c, len(f.Data)); len(got) != 1 || !bytes.Equal(got[0], f.Data) {
			t.Errorf("%+v: %d segments", s, len(got))
		}
	}
}

func TestCutterRefuses(t *testing.T) {
	payload := make([]byte, 3000)
	for _, c := range []struct {
		name   string
		of     sample
		room   int
		change func(*Frame)
	}{
		{"a frame that is whole", sample{payload: payload}, 1400, func(f *Frame) { f.Partial = false }},
		{"an inner checksum", sample{payload: payload, segment: 1000}, 1400, func(f *Frame) { f.Start += 50 }},
		{"another kind", sample{payload: payload, segment: 1000}, 1400, func(f *Frame) { f.Kind = TCP6 }},
		{"another protocol", sample{payload: payload, segment: 1000}, 1400, func(f *Frame) { f.Kind = UDP }},
		{"a kind that there is not", sample{payload: payload, segment: 1000}, 1400, func(f *Frame) { f.Kind = UDP + 1 }},
		{"no size", sample{payload: payload, segment: 1000}, 1400, func(f *Frame) { f.Segment = 0 }},
		{"no size of datagrams", sample{udp: true, payload: payload, segment: 1000}, 1400, func(f *Frame) { f.Segment = 0 }},
		{"no room for payload", sample{payload: payload, segment: 1000}, 54, nil},
		{"no room for headers", sample{segment: 1000}, 53, nil},
		{"nor if it is in one piece", sample{payload: payload}, 53, nil},
		{"a long datagram", sample{udp: true, payload: payload}, 1400, nil},
		{"a SYN", sample{payload: payload, flags: flagSYN}, 1400, nil},
		{"an RST", sample{payload: payload, flags: flagRST}, 1400, nil},
		{"urgent data", sample{payload: payload, flags: flagURG}, 1400, nil},
	} {
		f := c.of.build()
		l, ok := Parse(f.Data)
		if c.change != nil {
			c.change(&f)
		}
		cutter := Cutter{data: payload, step: 1000}
		if !ok || cutter.Begin(&f, l, c.room) {
			t.Errorf("%s: taken", c.name)
		}
		if n, more := cutter.Next(make([]byte, 70000)); n != 0 || more {
			t.Errorf("%s: %d bytes come out", c.name, n)
		}
	}
}

func TestCutterDoesNotAllocate(t *testing.T) {
	f := sample{payload: make([]byte, 60000), segment: 1368}.build()
	dst := make([]byte, 1500)
	var c Cutter
	allocs := testing.AllocsPerRun(100, func() {
		l, _ := Parse(f.Data)
		if !c.Begin(&f, l, len(dst)) {
			t.Fatal("refused")
		}
		for more := true; more; {
			_, more = c.Next(dst)
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

// FuzzCutter: whatever a container's kernel or a peer hands over, each segment is a whole frame
// that fits, and together they have the payload of the frame.
func FuzzCutter(f *testing.F) {
	for _, s := range []sample{{payload: make([]byte, 400), segment: 100}, {v6: true, payload: make([]byte, 400), segment: 100}, {udp: true, payload: make([]byte, 400), segment: 100}, {tags: twoTags, payload: make([]byte, 400), segment: 100}, {payload: make([]byte, 400)}} {
		fr := s.build()
		f.Add(fr.Data, fr.Start, fr.Offset, uint8(fr.Kind), fr.Segment, 150)
	}
	f.Fuzz(func(t *testing.T, data []byte, start, offset uint16, kind uint8, segment uint16, room int) {
		l, ok := Parse(data)
		if !ok {
			return
		}
		fr := Frame{Data: data, Partial: true, Start: start, Offset: offset, Kind: Kind(kind), Segment: segment}
		var c Cutter
		if !c.Begin(&fr, l, room) {
			return
		}
		var payload []byte
		for _, seg := range cut(t, &c, c.Longest()) {
			again, ok := Parse(seg)
			if !ok || again != l || !l.UDP && len(seg) > room {
				t.Fatalf("a segment of %d bytes: %+v, %v, want %+v", len(seg), again, ok, l)
			}
			payload = append(payload, seg[l.Payload:]...)
		}
		if !bytes.Equal(payload, data[l.Payload:]) {
			t.Fatal("the payload has changed")
		}
	})
}
