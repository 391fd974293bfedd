package udp

import (
	"bytes"
	"net/netip"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

func TestSplit(t *testing.T) {
	for name, test := range map[string]struct {
		n, size   int
		want      []int // lengths
		truncated uint64
	}{
		"one datagram":               {n: 100, want: []int{100}},
		"an empty one":               {n: 0, want: []int{0}},
		"an empty one with a size":   {n: 0, size: 10, want: []int{0}},
		"the last is shorter":        {n: 25, size: 10, want: []int{10, 10, 5}},
		"all of one size":            {n: 30, size: 10, want: []int{10, 10, 10}},
		"a size larger than the run": {n: 9, size: 10, want: []int{9}},
		"a size that is none":        {n: 9, size: -1, want: []int{9}},
		"the largest":                {n: MaxDatagram, want: []int{MaxDatagram}},
		"too large":                  {n: MaxDatagram + 1, truncated: 1},
		"two too large":              {n: 2*MaxDatagram + 2, size: MaxDatagram + 1, truncated: 2},
		"a short one at the end":     {n: MaxDatagram + 6, size: MaxDatagram + 1, want: []int{5}, truncated: 1},
		"a full buffer":              {n: receiveBuffer, size: MaxDatagram, want: slices.Repeat([]int{MaxDatagram}, receiveBuffer/MaxDatagram)},
	} {
		t.Run(name, func(t *testing.T) {
			var lengths []int
			for _, d := range checkSplit(t, make([]byte, receiveBuffer), test.n, test.size, test.truncated) {
				lengths = append(lengths, len(d.Data))
			}
			if !slices.Equal(lengths, test.want) {
				t.Errorf("lengths %v, want %v", lengths, test.want)
			}
		})
	}
}

// checkSplit splits the first n bytes of a buffer, and checks that the datagrams lie in it in
// order, that none is missing but those too large, and where their capacity ends.
func checkSplit(t *testing.T, buffer []byte, n, size int, tooLarge uint64) []Datagram {
	t.Helper()
	for i := range buffer {
		buffer[i] = byte(i >> 3)
	}
	path := Datagram{Local: netip.MustParseAddr("192.0.2.1"), Remote: netip.MustParseAddrPort("192.0.2.2:3")}
	before := Datagram{Data: []byte("from another buffer")}
	vector, truncated := split([]Datagram{before}, buffer, n, size, path)
	if !bytes.Equal(vector[0].Data, before.Data) {
		t.Error("what was in the vector is not there any more")
	}
	if truncated != tooLarge {
		t.Errorf("%d are too large, want %d", truncated, tooLarge)
	}
	end := 0
	for i, d := range vector[1:] {
		at := len(buffer) - cap(d.Data)
		switch {
		case d.Local != path.Local || d.Remote != path.Remote:
			t.Fatalf("datagram %d has another path: %v", i, d)
		case at < end || at > end && tooLarge == 0:
			t.Fatalf("datagram %d begins at %d, the one before ends at %d", i, at, end)
		case len(d.Data) > MaxDatagram || !bytes.Equal(d.Data, buffer[at:at+len(d.Data)]):
			t.Fatalf("datagram %d is not what lies at %d", i, at)
		}
		end = at + len(d.Data)
	}
	if tooLarge == 0 && end != n {
		t.Errorf("the datagrams end at %d, want %d", end, n)
	}
	return vector[1:]
}

// TestNames: what a name says is read again, by sockets of both families.
func TestNames(t *testing.T) {
	for _, test := range []struct {
		family   int
		to, want string // want "": refused
	}{
		{unix.AF_INET6, "[2001:db8::1]:4000", "[2001:db8::1]:4000"},
		{unix.AF_INET6, "192.0.2.1:53", "192.0.2.1:53"},
		{unix.AF_INET6, "[::ffff:192.0.2.1]:53", "192.0.2.1:53"},
		{unix.AF_INET6, "[fe80::1%1]:65535", "[fe80::1%1]:65535"},
		{unix.AF_INET6, "[fe80::1%lo]:1", "[fe80::1%1]:1"},
		{unix.AF_INET6, "[fe80::1%nosuch]:1", "[fe80::1]:1"},
		{unix.AF_INET, "192.0.2.1:53", "192.0.2.1:53"},
		{unix.AF_INET, "[::ffff:192.0.2.1]:53", "192.0.2.1:53"},
		{unix.AF_INET, "[2001:db8::1]:53", ""},
	} {
		var name unix.RawSockaddrInet6
		_, err := putName(&name, test.family, netip.MustParseAddrPort(test.to))
		switch got := readName(&name); {
		case test.want == "" && err == nil:
			t.Errorf("family %d takes %s", test.family, test.to)
		case test.want != "" && (err != nil || got != netip.MustParseAddrPort(test.want)):
			t.Errorf("family %d: %s became %v, %v; want %s", test.family, test.to, got, err, test.want)
		}
	}
	if got := readName(&unix.RawSockaddrInet6{Family: unix.AF_UNIX}); got.IsValid() {
		t.Errorf("a name of another family is %v", got)
	}
}

// TestOverflowWrapsAround: the kernel counts in 32 bits, and tells nothing before the first loss.
func TestOverflowWrapsAround(t *testing.T) {
	var r receiver
	var want uint64
	for _, step := range []struct{ told, more uint32 }{{0, 0}, {5, 5}, {5, 0}, {0, 0}, {1<<32 - 2, 1<<32 - 7}, {3, 5}} {
		want += uint64(step.more)
		if r.noteOverflow(step.told); r.overflow != want {
			t.Errorf("after %d: %d, want %d", step.told, r.overflow, want)
		}
	}
}

// FuzzReadControl reads anything as control messages.
func FuzzReadControl(f *testing.F) {
	f.Add(newSource(unix.AF_INET6, netip.MustParseAddr("2001:db8::1")).control)
	f.Add(newSource(unix.AF_INET, netip.MustParseAddr("192.0.2.1")).control)
	f.Add([]byte{1, 2, 3})
	size := make([]byte, sendControl)
	f.Add(size[:putSegment(size, 1200)])
	f.Fuzz(func(_ *testing.T, b []byte) { _, _, _ = readControl(b) })
}

// FuzzSplit splits runs of any length by any size.
func FuzzSplit(f *testing.F) {
	f.Add(uint16(4000), 1200)
	f.Add(uint16(0), 0)
	f.Add(uint16(65535), MaxDatagram+1)
	buffer := make([]byte, receiveBuffer)
	f.Fuzz(func(t *testing.T, length uint16, size int) {
		n := int(length)
		each := size
		if each <= 0 || each > n {
			each = n
		}
		var tooLarge uint64
		if each > MaxDatagram {
			tooLarge = uint64(n / each)
			if n%each > MaxDatagram {
				tooLarge++
			}
		}
		checkSplit(t, buffer, n, size, tooLarge)
	})
}
