package tap

import (
	"testing"

	"evio/datapath/frame"
)

func TestFits(t *testing.T) {
	data := func(length int, kinds ...byte) []byte {
		f := make([]byte, length)
		copy(f[12:], kinds)
		return f
	}
	for _, c := range []struct {
		name string
		data []byte
		want bool
	}{
		{"no header", make([]byte, 13), false},
		{"a header alone", data(14, 8, 0), true},
		{"full", data(1414, 8, 0), true},
		{"one byte too long", data(1415, 8, 0), false},
		{"full, with a tag", data(1418, 0x81, 0, 0, 10, 8, 0), true},
		{"one byte too long, with a tag", data(1419, 0x81, 0, 0, 10, 8, 0), false},
		{"full, with two tags", data(1422, 0x88, 0xa8, 0, 20, 0x81, 0, 0, 10, 8, 0), true},
		{"one byte too long, with two tags", data(1423, 0x88, 0xa8, 0, 20, 0x81, 0, 0, 10, 8, 0), false},
		{"three tags", data(1426, 0x81, 0, 0, 1, 0x81, 0, 0, 2, 0x81, 0, 0, 3, 8, 0), false},
		{"a tag of which half is there", data(14, 0x81, 0), true},
	} {
		if got := fits(frame.Frame{Data: c.data}, 1400); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}
