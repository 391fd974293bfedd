package tap

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"runtime"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"evio/datapath/frame"
)

// pair returns a device, and what a bridge would be: sockets that keep the bounds of what is
// written take the place of the kernel's device.
func pair(t *testing.T, o Offloads) (*device, int) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fds[1]) })
	d, err := newDevice(os.NewFile(uintptr(fds[0]), "pair"), o.any(), Config{Name: "pair", MTU: 1400, Offloads: o})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d, fds[1]
}

// TestReadDrains: one call takes all frames that wait, in their order.
func TestReadDrains(t *testing.T) {
	d, bridge := pair(t, Offloads{})
	const frames = 20
	for i := range frames {
		if _, err := unix.Write(bridge, bytes.Repeat([]byte{byte(i)}, 60+i)); err != nil {
			t.Fatal(err)
		}
	}
	var v frame.Vector
	if err := d.ReadFrames(&v); err != nil || len(v.Frames) != frames {
		t.Fatalf("%d frames, %v", len(v.Frames), err)
	}
	for i, f := range v.Frames {
		if !bytes.Equal(f.Data, bytes.Repeat([]byte{byte(i)}, 60+i)) || f.Partial || f.Kind != frame.Single {
			t.Errorf("frame %d: %+v", i, f)
		}
	}
	if s := d.Stats(); s.ReadFrames != frames || s.Reads != frames+1 {
		t.Errorf("%+v", s)
	}
	if err := d.ReadFrames(&v); err == nil {
		t.Error("a vector with frames is read into")
	}
	v.Release()
}

// TestWaitingHoldsNoMemory: while a reader waits, its vector is as it was made.
func TestWaitingHoldsNoMemory(t *testing.T) {
	d, _ := pair(t, Offloads{})
	var v frame.Vector
	done := make(chan error)
	go func() { done <- d.ReadFrames(&v) }()
	for d.Stats().Reads == 0 { // it looks once before it waits
		runtime.Gosched()
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, os.ErrClosed) {
		t.Error(err)
	}
	if v.Frames != nil {
		t.Error("the vector has memory")
	}
}

func TestBadLengthIsCounted(t *testing.T) {
	d, bridge := pair(t, Offloads{})
	for _, n := range []int{13, 1415, 60} {
		if _, err := unix.Write(bridge, make([]byte, n)); err != nil {
			t.Fatal(err)
		}
	}
	var v frame.Vector
	if err := d.ReadFrames(&v); err != nil || len(v.Frames) != 1 || len(v.Frames[0].Data) != 60 {
		t.Fatalf("%d frames, %v", len(v.Frames), err)
	}
	v.Release()
	n, err := d.WriteFrames([]frame.Frame{{Data: make([]byte, 13)}, {}, {Data: make([]byte, 1415)}, {Data: make([]byte, 60)}})
	if n != 4 || err != nil {
		t.Fatal(n, err)
	}
	if s := d.Stats(); s.BadLength != 5 || s.WrittenFrames != 1 || s.Writes != 1 {
		t.Errorf("%+v", s)
	}
}

// TestUnspeakableIsCounted: the kernel drops a frame of a kind that its header has no word for,
// and says so once. It is counted wherever it was among others, which stay.
func TestUnspeakableIsCounted(t *testing.T) {
	const frames = 3
	for lost := range frames {
		d, bridge := pair(t, AllOffloads)
		for range frames {
			if _, err := unix.Write(bridge, make([]byte, headerLen+60)); err != nil {
				t.Fatal(err)
			}
		}
		read := 0
		d.reading.read = func(fd int, b []byte) (int, error) {
			n, err := unix.Read(fd, b)
			if err != nil {
				return n, err
			}
			if read++; read == lost+1 {
				return -1, unix.EINVAL
			}
			return n, nil
		}
		var v frame.Vector
		if err := d.ReadFrames(&v); err != nil || len(v.Frames) != frames-1 {
			t.Errorf("frame %d is lost: %d frames, %v", lost, len(v.Frames), err)
		}
		v.Release()
		if s := d.Stats(); s.BadOffload != 1 || s.ReadFrames != frames-1 {
			t.Errorf("frame %d is lost: %+v", lost, s)
		}
	}
}

// TestFullIsRefused: what the kernel has no room for is counted, and the write goes on.
func TestFullIsRefused(t *testing.T) {
	d, _ := pair(t, Offloads{})
	frames := []frame.Frame{{Data: make([]byte, 1414)}}
	for range 10000 {
		if n, err := d.WriteFrames(frames); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		if d.Stats().Refused > 0 {
			return
		}
	}
	t.Error("nothing is refused")
}

func TestClosed(t *testing.T) {
	d, _ := pair(t, Offloads{})
	for range 2 {
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.ReadFrames(new(frame.Vector)); !errors.Is(err, os.ErrClosed) {
		t.Error(err)
	}
	if _, err := d.WriteFrames([]frame.Frame{{Data: make([]byte, 60)}}); !errors.Is(err, os.ErrClosed) {
		t.Error(err)
	}
}

// super is a super-frame of TCP over IPv4 or of UDP over IPv6, with 3,000 bytes of payload.
func super(kind frame.Kind, segment uint16) frame.Frame {
	const n = 3000
	data := []byte{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1}
	if kind == frame.TCP4 {
		data = binary.BigEndian.AppendUint16(append(data, 8, 0, 0x45, 0), uint16(40+n))
		data = append(data, 0, 7, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2)
		data = append(data, 0x13, 0x88, 0x13, 0x89, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x18, 1, 0, 0x12, 0x34, 0, 0)
		return frame.Frame{Data: append(data, make([]byte, n)...), Partial: true, Start: 34, Offset: tcpSum, Kind: kind, Segment: segment}
	}
	data = binary.BigEndian.AppendUint16(append(data, 0x86, 0xdd, 0x60, 0, 0, 0), uint16(8+n))
	data = append(append(data, 17, 64), make([]byte, 32)...)
	data = binary.BigEndian.AppendUint16(append(data, 0x13, 0x88, 0x13, 0x89), uint16(8+n))
	return frame.Frame{Data: append(append(data, 0x12, 0x34), make([]byte, n)...), Partial: true, Start: 54, Offset: udpSum, Kind: kind, Segment: segment}
}

// received reads what waits at the bridge.
func received(t *testing.T, bridge int) [][]byte {
	t.Helper()
	var all [][]byte
	for {
		buf := make([]byte, 70000)
		n, err := unix.Read(bridge, buf)
		if errors.Is(err, unix.EAGAIN) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, buf[:n])
	}
}

// TestWritesWhatTheDeviceTakes: what is not offloaded is cut and finished before it is
// written. A frame that is written again is written in the same way.
func TestWritesWhatTheDeviceTakes(t *testing.T) {
	tcp, udp := super(frame.TCP4, 1300), super(frame.UDP, 1300)
	inner := frame.Frame{Data: bytes.Repeat([]byte{1, 2, 3}, 70)[:200], Partial: true, Start: 84, Offset: 16}
	tagged := super(frame.TCP4, 1300)
	tagged.Data[12], tagged.Data[13] = 0x81, 0
	// behind is a frame behind two VLAN tags.
	behind := func(f frame.Frame) frame.Frame {
		tags := []byte{0x88, 0xa8, 0, 5, 0x81, 0, 0, 6}
		f.Data = slices.Insert(bytes.Clone(f.Data), 12, tags...)
		f.Start += uint16(len(tags))
		return f
	}
	oneTag := Offloads{Checksums: true, TCP: true, UDP: true, OneTag: true}
	single := behind(frame.Frame{Data: tcp.Data[:1354], Partial: true, Start: tcp.Start, Offset: tcp.Offset})
	for _, c := range []struct {
		name    string
		device  Offloads
		frame   frame.Frame
		want    []int // lengths of what is written, without the header
		partial bool
		stats   Stats
	}{
		{"all, TCP", AllOffloads, tcp, []int{3054}, true, Stats{WrittenSupers: 1, WrittenSegments: 3}},
		{"all, UDP", AllOffloads, udp, []int{3062}, true, Stats{WrittenSupers: 1, WrittenSegments: 3}},
		{"no UDP", Offloads{Checksums: true, TCP: true}, udp, []int{1362, 1362, 462}, true, Stats{WrittenSegments: 3}},
		{"checksums only", Offloads{Checksums: true}, tcp, []int{1354, 1354, 454}, true, Stats{WrittenSegments: 3}},
		{"nothing", Offloads{}, tcp, []int{1354, 1354, 454}, false, Stats{WrittenSegments: 3}},
		{"tags, TCP", AllOffloads, behind(tcp), []int{3062}, true, Stats{WrittenSupers: 1, WrittenSegments: 3}},
		{"tags, unfinished", AllOffloads, single, []int{1362}, true, Stats{WrittenSegments: 1}},
		{"tags that hide TCP", oneTag, behind(tcp), []int{1362, 1362, 462}, false, Stats{WrittenSegments: 3}},
		{"tags that hide UDP", oneTag, behind(udp), []int{1370, 1370, 470}, false, Stats{WrittenSegments: 3}},
		{"tags that hide a checksum", oneTag, single, []int{1362}, false, Stats{WrittenSegments: 1}},
		{"tags that hide an inner checksum", oneTag, behind(inner), []int{208}, false, Stats{WrittenSegments: 1}},
		{"no tags", oneTag, tcp, []int{3054}, true, Stats{WrittenSupers: 1, WrittenSegments: 3}},
		{"an inner checksum", Offloads{}, inner, []int{200}, false, Stats{WrittenSegments: 1}},
		{"what cannot be cut", Offloads{}, tagged, nil, false, Stats{BadOffload: 3}},
		{"what cannot be finished", Offloads{}, frame.Frame{Data: make([]byte, 60), Partial: true, Start: 59}, nil, false, Stats{BadOffload: 1}},
		{"what cannot be said", AllOffloads, frame.Frame{Data: make([]byte, 60), Partial: true, Start: 59}, nil, false, Stats{BadOffload: 1}},
		{"segments that are too long", AllOffloads, super(frame.UDP, 1353), nil, false, Stats{BadLength: 3}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, bridge := pair(t, c.device)
			c.frame.Data = bytes.Clone(c.frame.Data)
			frames := []frame.Frame{c.frame}
			if n, err := d.WriteFrames(frames); n != 1 || err != nil {
				t.Fatal(n, err)
			}
			first, stats := received(t, bridge), d.Stats()
			if n, err := d.WriteFrames(frames); n != 1 || err != nil {
				t.Fatal(n, err)
			}
			if diff := cmp.Diff(first, received(t, bridge)); diff != "" {
				t.Error("written again:", diff)
			}
			var lengths []int
			for _, b := range first {
				partial := false
				if d.header {
					partial = b[0] == 1
					b = b[headerLen:]
				}
				if partial != c.partial {
					t.Errorf("unfinished: %v", partial)
				}
				lengths = append(lengths, len(b))
				c.stats.WrittenBytes += uint64(len(b))
			}
			if diff := cmp.Diff(c.want, lengths); diff != "" {
				t.Error(diff)
			}
			c.stats.WrittenFrames, c.stats.Writes = uint64(len(c.want)), uint64(len(c.want))
			if diff := cmp.Diff(c.stats, stats); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestReadsSuperFrames: what was written comes back as it was.
func TestReadsSuperFrames(t *testing.T) {
	d, bridge := pair(t, AllOffloads)
	want := []frame.Frame{super(frame.TCP4, 1300), {Data: make([]byte, 60)}, super(frame.UDP, 1300)}
	if n, err := d.WriteFrames(want); n != 3 || err != nil {
		t.Fatal(n, err)
	}
	for _, b := range append(received(t, bridge), bytesOf(t, "04"), bytesOf(t, "00 00 0000 0000 0000 0000 ffff")) {
		if _, err := unix.Write(bridge, b); err != nil {
			t.Fatal(err)
		}
	}
	var v frame.Vector
	defer v.Release()
	if err := d.ReadFrames(&v); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, v.Frames); diff != "" {
		t.Error(diff)
	}
	if s := d.Stats(); s.ReadSupers != 2 || s.ReadSegments != 7 || s.BadOffload != 1 || s.BadLength != 1 || s.ReadBytes != s.WrittenBytes {
		t.Errorf("%+v", s)
	}
}
