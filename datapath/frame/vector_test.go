package frame

import (
	"bytes"
	"testing"
)

// fill reads a frame of n bytes into v, as a TAP would, and reports whether there was room.
func fill(v *Vector, n int, b byte) bool {
	buf := v.Buffer()
	if buf == nil {
		return false
	}
	data := buf[Headroom : Headroom+n]
	for i := range data {
		data[i] = b
	}
	v.Add(Frame{Data: data})
	return true
}

// TestVectorKeepsFramesApart: no frame is written over by a later one or by the header in
// front of it.
func TestVectorKeepsFramesApart(t *testing.T) {
	for _, size := range []int{14, 60, 1414, 9014, maxFrame} {
		var v Vector
		n := 0
		for ; fill(&v, size, byte(n)); n++ {
			clear(v.arena.data[v.used-size-Headroom : v.used-size])
		}
		if n != len(v.Frames) || n < 2 {
			t.Fatalf("%d frames of %d bytes, %d in the vector", n, size, len(v.Frames))
		}
		for i, f := range v.Frames {
			if !bytes.Equal(f.Data, bytes.Repeat([]byte{byte(i)}, size)) {
				t.Errorf("frame %d of %d bytes has changed", i, size)
			}
		}
		v.Release()
		if v.Frames != nil || v.arena != nil || v.used != 0 {
			t.Errorf("after Release: %d frames, %d bytes", len(v.Frames), v.used)
		}
	}
}

func TestVectorBuffer(t *testing.T) {
	var v Vector
	v.Release() // nothing to give back
	if got := v.Buffer(); len(got) != bufferSize || cap(got) != bufferSize {
		t.Errorf("a buffer of %d bytes, capacity %d", len(got), cap(got))
	}
	v.Add(Frame{Data: v.Buffer()[Headroom:][:maxFrame]})
	v.Add(Frame{Data: v.Buffer()[Headroom:][:maxFrame]})
	if v.Buffer() != nil {
		t.Error("a third super-frame would fit")
	}
	v.Release()
}

func TestVectorDoesNotAllocate(t *testing.T) {
	allocs := testing.AllocsPerRun(100, func() {
		var v Vector
		for fill(&v, 60, 1) {
		}
		v.Release()
	})
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

// TestVectorFramesEndWhereTheyEnd: whoever appends to a frame, as a Merger does, writes over no
// other one.
func TestVectorFramesEndWhereTheyEnd(t *testing.T) {
	var v Vector
	defer v.Release()
	for i := range 3 {
		if !fill(&v, 60, byte(i)) {
			t.Fatal("it is full")
		}
	}
	for i := range v.Frames {
		_ = append(v.Frames[i].Data, bytes.Repeat([]byte{0xff}, 1000)...)
	}
	for i, f := range v.Frames {
		if !bytes.Equal(f.Data, bytes.Repeat([]byte{byte(i)}, 60)) {
			t.Errorf("frame %d: %x", i, f.Data)
		}
	}
}
