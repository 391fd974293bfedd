package flood_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"evio/overlay/flood"
	"evio/overlay/nodeid"
)

func TestHeaderGolden(t *testing.T) {
	h := flood.Header{
		Origin: nodeid.ID{0: 0xaa, 15: 0xbb}, Start: 0x0102030405060708, Seq: 9, Time: 0x0a0b,
		ArcEnd: nodeid.ID{0: 0xcc, 15: 0xdd}, Signature: flood.Signature{0: 0xee, 63: 0xff},
	}
	want := slices.Concat(
		[]byte{2},
		[]byte{0xcc, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xdd},
		[]byte{0xaa, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xbb},
		[]byte{1, 2, 3, 4, 5, 6, 7, 8},
		[]byte{0, 0, 0, 0, 0, 0, 0, 9},
		[]byte{0, 0, 0, 0, 0, 0, 0x0a, 0x0b},
		[]byte{0xee}, make([]byte, 62), []byte{0xff},
	)
	got := flood.AppendHeader(nil, h)
	if diff := cmp.Diff(want, got); diff != "" || len(got) != flood.HeaderLen {
		t.Fatalf("%d bytes, want %d (-want +got):\n%s", len(got), flood.HeaderLen, diff)
	}
	back, rest, err := flood.ParseHeader(append(got, "frame"...))
	if err != nil || back != h || string(rest) != "frame" {
		t.Errorf("ParseHeader = %+v, %q, %v", back, rest, err)
	}
}

func TestParseHeaderRefuses(t *testing.T) {
	good := flood.AppendHeader(nil, flood.Header{})
	for name, bad := range map[string][]byte{
		"nothing":         nil,
		"one byte less":   good[:flood.HeaderLen-1],
		"another version": append([]byte{1}, good[1:]...),
	} {
		if _, _, err := flood.ParseHeader(bad); !errors.Is(err, flood.ErrHeader) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzParseHeader: no bytes panic, change when encoded again, or make a relay send to
// a node outside of the arc; nothing that is not signed is delivered or handed on.
func FuzzParseHeader(f *testing.F) {
	f.Add([]byte{}, uint8(1), true)
	f.Add(flood.AppendHeader(nil, flood.Header{Origin: id(1), ArcEnd: id(1)}), uint8(1), true)
	f.Add(flood.AppendHeader(nil, flood.Header{Origin: id(1), ArcEnd: id(90), Seq: 1 << 63}), uint8(20), false)
	f.Fuzz(func(t *testing.T, b []byte, from uint8, signed bool) {
		h, rest, err := flood.ParseHeader(b)
		if err != nil {
			return
		}
		if again := append(flood.AppendHeader(nil, h), rest...); !bytes.Equal(again, b) {
			t.Fatalf("%x became %x", b, again)
		}
		h.Time %= 500_000 // mostly one at which it may arrive
		r := flood.New(id(50), 1, flood.Config{})
		genuine := func() bool { return signed }
		neighbours := []nodeid.ID{id(60), id(80), id(100), id(200), id(10), id(40)}
		deliver, forward, drop := r.Receive(id(from), h, 100, genuine, neighbours, start)
		if deliver != (drop == flood.NoDrop) || !deliver && len(forward) > 0 || deliver && !signed {
			t.Fatalf("delivered %v, forwarded %v, dropped for %v", deliver, forward, drop)
		}
		for _, c := range forward {
			if c.To == h.Origin || c.To == id(50) || c.To == id(from) {
				t.Fatalf("%+v came from %d, sent on as %+v", h, from, c)
			}
		}
		if drop == flood.Untimely {
			return
		}
		deliver, forward, _ = r.Receive(id(from), h, 100, genuine, neighbours, start)
		if deliver || len(forward) > 0 {
			t.Fatalf("%+v again: delivered %v, forwarded %v", h, deliver, forward)
		}
	})
}
