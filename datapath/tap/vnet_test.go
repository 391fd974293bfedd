package tap

import (
	"bytes"
	"encoding/hex"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"evio/datapath/frame"
)

// bytesOf reads hexadecimal digits with blanks between them.
func bytesOf(t testing.TB, digits string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(digits, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// with returns a frame of n bytes whose headers of TCP have options up to payload.
func with(n, start, payload int, flags byte) []byte {
	data := make([]byte, n)
	data[start+12] = byte((payload-start)/4) << 4
	data[start+tcpFlags] = flags
	return data
}

// TestHeader compares headers, as Linux 6.18 writes them on a machine with the low byte first,
// with what they say.
func TestHeader(t *testing.T) {
	for _, c := range []struct {
		name   string
		header string // flags, gso_type, hdr_len, gso_size, csum_start, csum_offset
		data   []byte
		want   frame.Frame
		back   string // what is written; empty: the same
	}{
		{"a whole frame", "00 00 0000 0000 0000 0000", make([]byte, 60), frame.Frame{}, ""},
		{"a verified checksum", "02 00 0000 0000 0000 0000", make([]byte, 60), frame.Frame{}, "00 00 0000 0000 0000 0000"},
		{"TCP over IPv4", "01 00 0000 0000 2200 1000", with(66, 34, 66, 0x10), frame.Frame{Partial: true, Start: 34, Offset: 16}, ""},
		{"in one piece of 66 bytes", "01 00 4200 0000 2200 1000", with(66, 34, 66, 0x10), frame.Frame{Partial: true, Start: 34, Offset: 16}, "01 00 0000 0000 2200 1000"},
		{"UDP over IPv6", "01 00 0000 0000 3600 0600", make([]byte, 100), frame.Frame{Partial: true, Start: 54, Offset: 6}, ""},
		{"an inner checksum", "01 00 0000 0000 5400 1000", make([]byte, 200), frame.Frame{Partial: true, Start: 84, Offset: 16}, ""},
		{"super-frame of TCP over IPv4", "01 01 4200 4405 2200 1000", with(7000, 34, 66, 0x18), frame.Frame{Partial: true, Start: 34, Offset: 16, Kind: frame.TCP4, Segment: 1348}, ""},
		{"with CWR", "01 81 4200 4405 2200 1000", with(7000, 34, 66, 0x98), frame.Frame{Partial: true, Start: 34, Offset: 16, Kind: frame.TCP4, Segment: 1348}, ""},
		{"super-frame of TCP over IPv6", "01 04 5600 3005 3600 1000", with(7000, 54, 86, 0x10), frame.Frame{Partial: true, Start: 54, Offset: 16, Kind: frame.TCP6, Segment: 1328}, ""},
		{"with CWR and IPv6", "01 84 5600 3005 3600 1000", with(7000, 54, 86, 0x90), frame.Frame{Partial: true, Start: 54, Offset: 16, Kind: frame.TCP6, Segment: 1328}, ""},
		{"super-frame of UDP", "01 05 2a00 1405 2200 0600", make([]byte, 7000), frame.Frame{Partial: true, Start: 34, Offset: 6, Kind: frame.UDP, Segment: 1300}, ""},
		{"more of it in one piece", "01 05 0008 1405 2200 0600", make([]byte, 7000), frame.Frame{Partial: true, Start: 34, Offset: 6, Kind: frame.UDP, Segment: 1300}, "01 05 2a00 1405 2200 0600"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.want.Data = c.data
			got, ok := decode(bytesOf(t, c.header), c.data)
			if diff := cmp.Diff(c.want, got); !ok || diff != "" {
				t.Fatal(ok, diff)
			}
			if c.back == "" {
				c.back = c.header
			}
			header := bytes.Repeat([]byte{0xff}, headerLen)
			if ok := encode(header, got); !ok || !bytes.Equal(header, bytesOf(t, c.back)) {
				t.Errorf("written %x, %v", header, ok)
			}
		})
	}
}

// TestHeaderRefuses: what is not true of the frame, or what there is no name for, is not
// believed.
func TestHeaderRefuses(t *testing.T) {
	for _, c := range []struct {
		name, header string
		data         []byte
	}{
		{"no header", "", make([]byte, 60)},
		{"half of one", "01 00 0000 00", make([]byte, 60)},
		{"an unknown flag", "04 00 0000 0000 0000 0000", make([]byte, 60)},
		{"a checksum behind the end", "01 00 0000 0000 2200 1000", make([]byte, 51)},
		{"a checksum in the Ethernet header", "01 00 0000 0000 0d00 1000", make([]byte, 60)},
		{"fragments of UDP", "01 03 2a00 1405 2200 0600", make([]byte, 7000)},
		{"an unknown kind", "01 06 2a00 1405 2200 0600", make([]byte, 7000)},
		{"CWR of UDP", "01 85 2a00 1405 2200 0600", make([]byte, 7000)},
		{"CWR of nothing", "01 80 2a00 1405 2200 0600", make([]byte, 7000)},
		{"a super-frame with a whole checksum", "00 01 4200 4405 0000 0000", with(7000, 34, 66, 0)},
		{"no size", "01 01 4200 0000 2200 1000", with(7000, 34, 66, 0)},
		{"TCP with another checksum", "01 01 4200 4405 2200 0600", with(7000, 34, 66, 0)},
		{"UDP with another checksum", "01 05 2a00 1405 2200 1000", make([]byte, 7000)},
		{"a TCP header of 16 bytes", "01 01 4200 4405 2200 1000", with(7000, 34, 50, 0)},
		{"one that goes on behind the end", "01 01 4200 4405 2200 1000", with(60, 34, 66, 0)},
		{"one that is cut", "01 01 4200 4405 2200 1000", make([]byte, 52)},
	} {
		if f, ok := decode(bytesOf(t, c.header), c.data); ok {
			t.Errorf("%s: %+v", c.name, f)
		}
	}
	data := with(7000, 34, 66, 0)
	for name, f := range map[string]frame.Frame{
		"a super-frame without a checksum": {Data: data, Kind: frame.TCP4, Segment: 1000},
		"no size":                          {Data: data, Kind: frame.TCP4, Partial: true, Start: 34, Offset: 16},
		"no kind":                          {Data: data, Kind: frame.UDP + 1, Partial: true, Start: 34, Offset: 16, Segment: 1000},
		"a checksum behind the end":        {Data: data[:40], Partial: true, Start: 34, Offset: 16},
	} {
		if encode(make([]byte, headerLen), f) {
			t.Errorf("%s is written", name)
		}
	}
}

// TestSegments: the sizes of segments are bounded by the MTU, and counted.
func TestSegments(t *testing.T) {
	tcp := func(n int, segment uint16) frame.Frame {
		return frame.Frame{Data: with(n, 34, 66, 0), Partial: true, Start: 34, Offset: 16, Kind: frame.TCP4, Segment: segment}
	}
	tagged := tcp(7000, 1400)
	tagged.Data = append(append(tagged.Data[:12:12], 0x81, 0, 0, 5), tagged.Data[12:]...)
	tagged.Start += 4
	udp := frame.Frame{Data: make([]byte, 7000), Partial: true, Start: 34, Offset: 6, Kind: frame.UDP, Segment: 1372}
	long := udp
	long.Segment = 1373
	for _, c := range []struct {
		name    string
		frame   frame.Frame
		fits    bool
		segment uint16 // after shrink
		count   int
	}{
		{"TCP that fits", tcp(66+3*1348, 1348), true, 1348, 3},
		{"one byte more", tcp(66+3*1348+1, 1348), true, 1348, 4},
		{"TCP with a size that leaves no room for options", tcp(66+2*1348, 1360), false, 1348, 2},
		{"no payload", tcp(66, 1348), true, 1348, 1},
		{"a tag", tagged, false, 1348, 6},
		{"UDP that fits", udp, true, 1372, 6},
		{"UDP that does not", long, false, 1373, 6},
	} {
		if got := fits(c.frame, 1400); got != c.fits {
			t.Errorf("%s: fits %v", c.name, got)
		}
		shrink(&c.frame, 1400)
		if c.frame.Segment != c.segment || c.frame.Segments() != c.count {
			t.Errorf("%s: %d segments of %d", c.name, c.frame.Segments(), c.frame.Segment)
		}
	}
	tight := tcp(7000, 1348)
	shrink(&tight, 52) // no room for any
	if tight.Segment != 1348 || fits(tight, 52) {
		t.Errorf("segments of %d bytes", tight.Segment)
	}
}

// FuzzHeader: whatever the kernel says of a frame, it is refused or it is kept, and what is
// kept can be said again.
func FuzzHeader(f *testing.F) {
	f.Add(bytesOf(f, "01 01 4200 4405 2200 1000"), with(300, 34, 66, 0x98))
	f.Add(bytesOf(f, "01 05 2a00 1405 2200 0600"), make([]byte, 300))
	f.Add(bytesOf(f, "02 00 0000 0000 0000 0000"), make([]byte, 60))
	f.Fuzz(func(t *testing.T, header, data []byte) {
		got, ok := decode(header, data)
		if !ok {
			return
		}
		if n := got.Segments(); n < 1 || n > max(1, len(data)) {
			t.Fatalf("%d segments of %d bytes", n, len(data))
		}
		shrink(&got, 1400)
		fits(got, 1400)
		again := make([]byte, headerLen)
		if !encode(again, got) {
			t.Fatalf("%+v cannot be written", got)
		}
		back, ok := decode(again, data)
		if !ok || !reflect.DeepEqual(got, back) {
			t.Fatalf("%+v, %v, want %+v", back, ok, got)
		}
	})
}
