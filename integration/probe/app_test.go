package main

import "testing"

// TestAppWhole: a receiver notices datagrams that were merged or cut wrongly.
func TestAppWhole(t *testing.T) {
	for _, c := range []struct{ size, segment int }{{1200, 0}, {12000, 1200}, {1300, 300}, {500, 1200}, {65000, 0}, {1001, 500}} {
		data := appPattern(c.size, c.segment)
		segment := c.segment
		if segment == 0 {
			segment = c.size
		}
		for at := 0; at < c.size; at += segment {
			if one := data[at:min(at+segment, c.size)]; !appWhole(one) {
				t.Errorf("%+v: the segment at %d is taken for damaged", c, at)
			}
		}
		if c.segment > 0 && c.size > c.segment && appWhole(data) {
			t.Errorf("%+v: segments that were merged are taken for one", c)
		}
		if c.size > 2 && appWhole(data[:min(segment, c.size)-1]) {
			t.Errorf("%+v: a segment that was cut is taken for whole", c)
		}
	}
}

func TestTCPPayload(t *testing.T) {
	v4 := make([]byte, 14+20+32+100)
	v4[12], v4[13], v4[14], v4[23] = 8, 0, 0x45, 6
	v4[16], v4[17] = 0, 152
	v4[36], v4[37] = 0x15, 0xb4 // port 5556
	v4[46] = 0x80
	if n, ok := tcpPayload(v4, 5556); !ok || n != 100 {
		t.Errorf("%d, %v", n, ok)
	}
	if _, ok := tcpPayload(v4, 5557); ok {
		t.Error("another port")
	}
	if _, ok := tcpPayload(v4[:20], 5556); ok {
		t.Error("a frame that ends early")
	}
}
