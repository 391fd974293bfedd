package frame

import "testing"

func TestSegments(t *testing.T) {
	tcp, udp := sample{payload: make([]byte, 3000), options: make([]byte, 12), segment: 1300}, sample{udp: true, payload: make([]byte, 2600), segment: 1300}
	for _, c := range []struct {
		name   string
		of     sample
		change func(*Frame)
		want   int
	}{
		{"TCP", tcp, nil, 3},
		{"UDP", udp, nil, 2},
		{"with tags", sample{tags: twoTags, v6: true, payload: make([]byte, 1301), segment: 1300}, nil, 2},
		{"no payload", sample{segment: 1300}, nil, 1},
		{"in one piece", sample{payload: make([]byte, 3000)}, nil, 1},
		{"no size", tcp, func(f *Frame) { f.Segment = 0 }, 1},
		{"a header that ends early", tcp, func(f *Frame) { f.Data = f.Data[:40] }, 1},
		{"a header of 60 bytes in a shorter frame", sample{segment: 1300}, func(f *Frame) { f.Data[46] = 0xf0 }, 1},
	} {
		f := c.of.build()
		if c.change != nil {
			c.change(&f)
		}
		if got := f.Segments(); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}
