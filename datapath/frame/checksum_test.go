package frame

import (
	"bytes"
	"encoding/binary"
	"testing"

	"pgregory.net/rapid"
)

func TestSum(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.SliceOfN(rapid.OneOf(rapid.Byte(), rapid.SampledFrom([]byte{0, 0xff})), 0, 300).Draw(t, "bytes")
		if got, want := sum(b), naiveSum(b); got != want {
			t.Fatalf("%#x, want %#x", got, want)
		}
	})
	// Every carry happens here.
	ones := bytes.Repeat([]byte{0xff}, 65536)
	for n := 1; n < len(ones); n += 1 + n/7 {
		if got, want := sum(ones[:n]), naiveSum(ones[:n]); got != want {
			t.Errorf("%d bytes of ones: %#x, want %#x", n, got, want)
		}
	}
}

// finished returns a copy of a frame with its checksum finished, as a receiver checks it.
func finished(t interface{ Fatalf(string, ...any) }, f Frame) []byte {
	f.Data = bytes.Clone(f.Data)
	f.Kind, f.Segment = Single, 0
	if !Finish(&f) {
		t.Fatalf("a checksum at %d+%d of %d bytes cannot be finished", f.Start, f.Offset, len(f.Data))
	}
	return f.Data
}

// valid reports whether the checksums of a frame with a layout are right, by the rules that a
// receiver has.
func valid(data []byte) bool {
	l, ok := Parse(data)
	if !ok {
		return false
	}
	pseudo, proto := data[l.L3+12:l.L3+20], byte(protoTCP)
	if l.UDP {
		proto = protoUDP
	}
	if l.V6 {
		pseudo = data[l.L3+8 : l.L3+ipv6Len]
	} else if naiveSum(data[l.L3:l.L4]) != 0xffff {
		return false
	}
	b := binary.BigEndian.AppendUint32(bytes.Clone(pseudo), uint32(len(data)-l.L4))
	return naiveSum(append(append(b, 0, 0, 0, proto), data[l.L4:]...)) == 0xffff
}

func TestFinish(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := anySample(t, 3000)
		f := s.build()
		data := finished(t, f)
		if !valid(data) {
			t.Fatalf("%+v: wrong checksum", s)
		}
		at := f.Start + f.Offset
		copy(data[at:], f.Data[at:at+2])
		if !bytes.Equal(data, f.Data) {
			t.Fatal("other bytes have changed")
		}
	})
}

// TestFinishInner finishes the checksum of what a container's tunnel carries.
func TestFinishInner(t *testing.T) {
	inner := sample{v6: true, payload: []byte("odd")}.build()
	outer := sample{udp: true, payload: append(make([]byte, 8), inner.Data...)}.build()
	head := len(outer.Data) - len(inner.Data)
	outer.Start, outer.Offset = uint16(head)+inner.Start, inner.Offset
	l, ok := Parse(outer.Data)
	if !ok || Own(&outer, l) {
		t.Fatalf("the layout is %+v, %v", l, ok)
	}
	if !Finish(&outer) || outer.Partial || outer.Start != 0 || outer.Offset != 0 {
		t.Errorf("%+v", outer)
	}
	if !bytes.Equal(outer.Data[head:], finished(t, inner)) {
		t.Error("the inner checksum is wrong")
	}
}

// TestFinishNeverWritesZero: to UDP, zero means that there is no checksum.
func TestFinishNeverWritesZero(t *testing.T) {
	f := sample{udp: true, payload: make([]byte, 2)}.build()
	binary.BigEndian.PutUint16(f.Data[len(f.Data)-2:], ^sum(f.Data[f.Start:]))
	if data := finished(t, f); data[f.Start+udpOffset] != 0xff || data[f.Start+udpOffset+1] != 0xff || !valid(data) {
		t.Errorf("%x", data[f.Start:])
	}
}

func TestFinishRefuses(t *testing.T) {
	data := bytes.Repeat([]byte{7}, 60)
	for _, f := range []Frame{
		{Partial: true, Start: 13},
		{Partial: true, Start: 40, Offset: 19},
		{Partial: true, Start: 59},
		{Partial: true, Start: 65535, Offset: 65535},
		{Partial: true, Start: 34, Offset: 16, Kind: TCP4, Segment: 1},
	} {
		before := f
		f.Data = bytes.Clone(data)
		if Finish(&f) || f.Partial != before.Partial || f.Start != before.Start || !bytes.Equal(f.Data, data) {
			t.Errorf("%+v became %+v", before, f)
		}
	}
	whole := Frame{Data: data}
	if !Finish(&whole) || !bytes.Equal(data, bytes.Repeat([]byte{7}, 60)) {
		t.Error("a frame that is whole has changed")
	}
}

func TestFinishAndParseDoNotAllocate(t *testing.T) {
	f := sample{payload: make([]byte, 1000)}.build()
	allocs := testing.AllocsPerRun(100, func() {
		g, ok := Unfinished(f.Data)
		l, _ := Parse(f.Data)
		if !ok || !Own(&g, l) || DHCP(f.Data, l) || !Finish(&g) {
			t.Fatal("not finished")
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}
