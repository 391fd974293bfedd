package record

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// cut makes the plaintexts of a frame.
func cut(kind uint8, id uint32, frame []byte) [][]byte {
	if len(frame) <= MaxWhole {
		return [][]byte{AppendWhole(nil, kind, frame)}
	}
	var slices [][]byte
	for offset := 0; offset < len(frame); {
		var plain []byte
		plain, offset = AppendSlice(nil, kind, id, frame, offset, MaxSize)
		slices = append(slices, plain)
	}
	return slices
}

func parse(t interface{ Fatal(args ...any) }, plain []byte) Plain {
	p, err := Parse(plain)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestSlicesFitAndAreEven(t *testing.T) {
	for size := MaxWhole + 1; size <= MaxFrame; size++ {
		slices := cut(1, 9, make([]byte, size))
		shortest, longest := MaxPlain, 0
		for _, s := range slices {
			shortest, longest = min(shortest, len(s)), max(longest, len(s))
		}
		if longest > MaxPlain || longest-shortest > len(slices) {
			t.Fatalf("frame of %d bytes: %d slices of %d to %d bytes", size, len(slices), shortest, longest)
		}
	}
}

// TestRejoinUnderLossReorderAndRepetition cuts frames, and loses, mixes and
// repeats their slices: a frame comes out once and unchanged if all of its
// slices arrive, and not at all otherwise.
func TestRejoinUnderLossReorderAndRepetition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		count := rapid.IntRange(1, maxUnfinished).Draw(t, "frames")
		frames := make([][]byte, count)
		var sent [][]byte
		whole := make(map[uint32]bool)
		for id := range frames {
			size := rapid.IntRange(MaxWhole+1, MaxFrame).Draw(t, "size")
			frames[id] = bytes.Repeat([]byte{byte(id), byte(id >> 8), 0xa5}, size/3+1)[:size]
			whole[uint32(id)] = true
			for _, s := range cut(uint8(1+id%4), uint32(id), frames[id]) {
				if rapid.IntRange(0, 19).Draw(t, "fate") == 0 {
					whole[uint32(id)] = false
				} else {
					sent = append(sent, s)
				}
			}
		}
		sent = rapid.Permutation(sent).Draw(t, "order")
		var r Rejoiner
		now := time.Unix(1000, 0)
		got := make(map[uint32][]byte)
		for _, s := range sent {
			p := parse(t, s)
			frame, err := r.Add(p, now)
			if err != nil {
				t.Fatalf("slice of frame %d: %v", p.ID, err)
			}
			if frame != nil {
				if got[p.ID] != nil {
					t.Fatalf("frame %d came twice", p.ID)
				}
				got[p.ID] = bytes.Clone(frame)
				r.Recycle(frame)
			}
		}
		for id, frame := range frames {
			id := uint32(id)
			if !whole[id] {
				frame = nil
			}
			if !bytes.Equal(got[id], frame) {
				t.Fatalf("frame %d: got %d bytes, want %d", id, len(got[id]), len(frame))
			}
		}
	})
}

func TestRejoinerRefusesNonsense(t *testing.T) {
	now := time.Unix(1000, 0)
	slice := func(kind uint8, id uint32, offset, total int, body string) Plain {
		return Plain{Kind: kind, Slice: true, ID: id, Offset: offset, Total: total, Body: []byte(body)}
	}
	tests := map[string]struct {
		slices []Plain
		want   error
	}{
		"empty":               {[]Plain{slice(1, 1, 0, 10, "")}, ErrSlice},
		"total above all":     {[]Plain{slice(1, 1, 0, MaxFrame+1, "abc")}, ErrSlice},
		"total is zero":       {[]Plain{slice(1, 1, 0, 0, "abc")}, ErrSlice},
		"beyond its frame":    {[]Plain{slice(1, 1, 8, 10, "abc")}, ErrSlice},
		"repeated":            {[]Plain{slice(1, 1, 0, 10, "abc"), slice(1, 1, 0, 10, "abc")}, ErrOverlap},
		"overlaps before":     {[]Plain{slice(1, 1, 3, 10, "abc"), slice(1, 1, 0, 10, "abcd")}, ErrOverlap},
		"overlaps after":      {[]Plain{slice(1, 1, 3, 10, "abc"), slice(1, 1, 5, 10, "abcd")}, ErrOverlap},
		"inside another":      {[]Plain{slice(1, 1, 0, 10, "abcdef"), slice(1, 1, 2, 10, "a")}, ErrOverlap},
		"another total":       {[]Plain{slice(1, 1, 0, 10, "abc"), slice(1, 1, 3, 11, "abc")}, ErrMismatch},
		"another kind":        {[]Plain{slice(1, 1, 0, 10, "abc"), slice(2, 1, 3, 10, "abc")}, ErrMismatch},
		"of single bytes":     {single(slice, maxRanges+1), ErrSlice},
		"another frame is ok": {[]Plain{slice(1, 1, 0, 10, "abc"), slice(1, 2, 0, 10, "abc")}, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var r Rejoiner
			for i, p := range test.slices {
				frame, err := r.Add(p, now)
				var want error
				if i == len(test.slices)-1 {
					want = test.want
				}
				if frame != nil || !errors.Is(err, want) {
					t.Errorf("slice %d: got %v, %v, want %v", i, frame, err, want)
				}
			}
		})
	}
}

func single(slice func(uint8, uint32, int, int, string) Plain, n int) (all []Plain) {
	for i := range n {
		all = append(all, slice(1, 1, 2*i, 1000, "x"))
	}
	return all
}

func TestRejoinerIsBounded(t *testing.T) {
	var r Rejoiner
	now := time.Unix(1000, 0)
	half := func(id uint32) Plain {
		return Plain{Kind: 1, Slice: true, ID: id, Total: MaxFrame, Body: make([]byte, 100)}
	}
	for id := range uint32(maxUnfinished + 5) {
		if _, err := r.Add(half(id), now); err != nil {
			t.Fatal(err)
		}
	}
	if got := len(r.unfinished); got != maxUnfinished {
		t.Errorf("%d frames are held, want %d", got, maxUnfinished)
	}
	if evicted, expired := r.Lost(); evicted != 5 || expired != 0 {
		t.Errorf("lost %d and %d, want 5 evicted", evicted, expired)
	}
	if _, err := r.Add(half(1000), now.Add(maxAge+time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if evicted, expired := r.Lost(); evicted != 0 || expired != maxUnfinished {
		t.Errorf("lost %d and %d, want %d expired", evicted, expired, maxUnfinished)
	}
	if got := len(r.spare); got > maxSpare {
		t.Errorf("%d buffers are kept, want at most %d", got, maxSpare)
	}
}

func TestRejoiningReusesMemory(t *testing.T) {
	var r Rejoiner
	now := time.Unix(1000, 0)
	slices := cut(1, 1, make([]byte, 9000))
	allocs := testing.AllocsPerRun(50, func() {
		for _, s := range slices {
			frame, err := r.Add(parse(t, s), now)
			if err != nil {
				t.Fatal(err)
			}
			if frame != nil {
				r.Recycle(frame)
			}
		}
	})
	if allocs > 6 { // bookkeeping of the frame, none of its bytes
		t.Errorf("%v allocations for each frame, want at most 6", allocs)
	}
}

func TestParse(t *testing.T) {
	tests := map[string]struct {
		plain []byte
		want  Plain
		err   error
	}{
		"empty":        {nil, Plain{}, ErrPlain},
		"kind only":    {[]byte{1}, Plain{}, ErrPlain},
		"whole":        {[]byte{1, 0, 7, 8}, Plain{Kind: 1, Total: 2, Body: []byte{7, 8}}, nil},
		"whole, empty": {[]byte{1, 0}, Plain{Kind: 1, Body: []byte{}}, nil},
		"slice":        {[]byte{2, 1, 0, 0, 0, 9, 0, 3, 0, 5, 6}, Plain{Kind: 2, Slice: true, ID: 9, Offset: 3, Total: 5, Body: []byte{6}}, nil},
		"short slice":  {[]byte{2, 1, 0, 0, 0, 9, 0, 3, 0}, Plain{}, ErrPlain},
		"partial":      {[]byte{1, 2, 7, 8}, Plain{Kind: 1, Partial: true, Total: 2, Body: []byte{7, 8}}, nil},
		"unknown form": {[]byte{1, 3, 7, 8}, Plain{}, ErrPlain},
		"form of bits": {[]byte{1, 1 | 0x80, 0, 0, 0, 9, 0, 3, 0, 5, 6}, Plain{}, ErrPlain},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := Parse(test.plain)
			if !errors.Is(err, test.err) {
				t.Errorf("error %v, want %v", err, test.err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// FuzzParse parses anything: what is taken has a form of ours, and is made of the same bytes
// again.
func FuzzParse(f *testing.F) {
	f.Add([]byte{})
	f.Add(AppendWhole(nil, 2, []byte("frame")))
	f.Add(AppendPartial(nil, 1, []byte("frame")))
	frame := make([]byte, MaxWhole+1)
	first, next := AppendSlice(nil, 1, 7, frame, 0, MaxSize)
	second, _ := AppendSlice(nil, 1, 7, frame, next, MaxSize)
	f.Add(first)
	f.Add(second)
	f.Add([]byte{1, 3, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := Parse(b)
		if err != nil {
			if diff := cmp.Diff(Plain{}, p); diff != "" {
				t.Fatalf("refused, and yet (-want +got):\n%s", diff)
			}
			return
		}
		var again []byte
		switch {
		case p.Slice && p.Partial:
			t.Fatalf("%x has two forms", b)
		case p.Slice:
			again = []byte{p.Kind, formSlice}
			again = binary.BigEndian.AppendUint32(again, p.ID)
			again = binary.BigEndian.AppendUint16(again, uint16(p.Offset))
			again = binary.BigEndian.AppendUint16(again, uint16(p.Total))
			again = append(again, p.Body...)
		case p.Partial:
			again = AppendPartial(nil, p.Kind, p.Body)
		default:
			again = AppendWhole(nil, p.Kind, p.Body)
		}
		if !bytes.Equal(again, b) {
			t.Fatalf("%x was parsed as %+v", b, p)
		}
	})
}

// FuzzRejoin parses anything and rejoins it, several plaintexts in a row: what
// comes out is never longer than it may be, and memory stays bounded.
func FuzzRejoin(f *testing.F) {
	for _, s := range cut(1, 1, make([]byte, 3000)) {
		f.Add(s, s)
	}
	f.Add([]byte{1, 0, 1}, []byte{1, 1, 0, 0, 0, 0, 0, 0, 0, 1, 1})
	f.Fuzz(func(t *testing.T, first, second []byte) {
		var r Rejoiner
		now := time.Unix(1000, 0)
		for range 3 {
			for _, b := range [][]byte{first, second} {
				p, err := Parse(b)
				if err != nil || !p.Slice {
					continue
				}
				frame, err := r.Add(p, now)
				if len(frame) > MaxFrame || frame != nil && len(frame) != p.Total || frame != nil && err != nil {
					t.Fatalf("frame of %d bytes from %x", len(frame), b)
				}
			}
		}
		if len(r.unfinished) > maxUnfinished {
			t.Fatalf("%d frames are held", len(r.unfinished))
		}
	})
}
