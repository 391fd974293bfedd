//go:build component

package frame

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"evio/datapath/netdev"
	"evio/datapath/packet"
)

// kernel segments frames: what is written to in, with the kernel's header, comes out of out, a
// TAP that can do nothing, in segments with their checksums finished.
type kernel struct{ in, out *os.File }

// newKernel makes two TAPs and a bridge between them, and waits until it forwards.
func newKernel(t *testing.T) kernel {
	t.Helper()
	k := kernel{in: openTAP(t, "in0", unix.IFF_VNET_HDR), out: openTAP(t, "out0", 0)}
	bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "between0"}}
	if err := netlink.LinkAdd(bridge); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = netlink.LinkDel(bridge) })
	for _, name := range []string{"in0", "out0"} {
		link, err := netlink.LinkByName(name)
		if err := errors.Join(err, netlink.LinkSetMaster(link, bridge)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"in0", "out0", "between0"} {
		if err := netdev.SetUp(name, 1500); err != nil {
			t.Fatal(err)
		}
	}
	probe := Frame{Data: append([]byte{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x88, 0xb5}, make([]byte, 46)...)}
	for range 100 {
		k.write(t, probe)
		if got := k.read(t, 100*time.Millisecond); got != nil {
			for got != nil {
				got = k.read(t, 100*time.Millisecond)
			}
			return k
		}
	}
	t.Fatal("the bridge does not forward")
	return k
}

func openTAP(t *testing.T, name string, flags uint16) *os.File {
	t.Helper()
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	ifr, err := unix.NewIfreq(name)
	if err == nil {
		ifr.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI | flags)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr)
	}
	f := os.NewFile(uintptr(fd), name)
	t.Cleanup(func() { _ = f.Close() })
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// write hands a frame to the kernel, as who sends it with offloads does.
func (k kernel) write(t interface{ Fatal(...any) }, f Frame) {
	const needsChecksum, ecn = unix.VIRTIO_NET_HDR_F_NEEDS_CSUM, unix.VIRTIO_NET_HDR_GSO_ECN
	b := make([]byte, Headroom, Headroom+len(f.Data))
	if f.Partial {
		b[0] = needsChecksum
	}
	switch f.Kind {
	case Single:
	case TCP4:
		b[1] = unix.VIRTIO_NET_HDR_GSO_TCPV4
	case TCP6:
		b[1] = unix.VIRTIO_NET_HDR_GSO_TCPV6
	case UDP:
		b[1] = unix.VIRTIO_NET_HDR_GSO_UDP_L4
	}
	if (f.Kind == TCP4 || f.Kind == TCP6) && f.Data[f.Start+tcpFlags]&flagCWR != 0 {
		b[1] |= ecn
	}
	binary.NativeEndian.PutUint16(b[4:], f.Segment)
	binary.NativeEndian.PutUint16(b[6:], f.Start)
	binary.NativeEndian.PutUint16(b[8:], f.Offset)
	if _, err := k.in.Write(append(b, f.Data...)); err != nil {
		t.Fatal(err)
	}
}

// read returns the next segment, nil if none comes in time. The bridge itself speaks now and then.
func (k kernel) read(t interface{ Fatal(...any) }, wait time.Duration) []byte {
	b := make([]byte, 65536)
	if err := k.out.SetReadDeadline(time.Now().Add(wait)); err != nil {
		t.Fatal(err)
	}
	for {
		n, err := k.out.Read(b)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil
		case err != nil:
			t.Fatal(err)
		case packet.Source(b) == packet.MAC{2, 0, 0, 0, 0, 1}:
			return b[:n]
		}
	}
}

// compare gives the kernel a super-frame and compares its segments with ours, finished. The
// kernel finishes a checksum of TCP that is 0 to 0 if it cuts the frame, and to 0xffff as we do
// if it does not; receivers do not distinguish the two.
func (k kernel) compare(t interface {
	Fatal(...any)
	Fatalf(string, ...any)
}, f Frame, segments [][]byte) {
	k.write(t, f)
	for i, ours := range segments {
		u, ok := Unfinished(ours)
		if !ok {
			t.Fatalf("segment %d has no layout", i)
		}
		want := finished(t, u)
		got := k.read(t, 5*time.Second)
		if at := u.Start + u.Offset; len(got) == len(want) && got[at] == 0 && got[at+1] == 0 {
			got[at], got[at+1] = 0xff, 0xff
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("segment %d of %d: the kernel's is\n%x, ours\n%x", i, len(segments), got, want)
		}
	}
}

// TestCutterCutsAsTheKernel compares our segments with those of the kernel, byte for byte.
func TestCutterCutsAsTheKernel(t *testing.T) {
	k := newKernel(t)
	kinds := map[Kind]int{}
	rapid.Check(t, func(t *rapid.T) {
		s := anySuper(t)
		s.payload = append(s.payload, make([]byte, 2)...)
		for i := range s.ipOptions {
			s.ipOptions[i] = 1 // no operation: a host may filter others
		}
		s.segment = min(s.segment, uint16(len(s.payload)-1)) // otherwise the kernel refuses it
		f := s.build()
		l, ok := Parse(f.Data)
		room := l.Payload + rapid.IntRange(max(1, len(s.payload)/60), len(s.payload)-1).Draw(t, "room")
		var c Cutter
		if !ok || !c.Begin(&f, l, room) {
			t.Fatal("refused")
		}
		if !s.udp {
			f.Segment = min(f.Segment, uint16(room-l.Payload))
		}
		kinds[f.Kind]++
		k.compare(t, f, cut(t, &c, c.Longest()))
	})
	if kinds[TCP4] == 0 || kinds[TCP6] == 0 || kinds[UDP] == 0 {
		t.Errorf("compared: %v", kinds)
	}
}

// TestKernelCutsWhatIsMerged loses some segments, merges the others, and gives the kernel what
// comes out: it makes the same segments of it.
func TestKernelCutsWhatIsMerged(t *testing.T) {
	k := newKernel(t)
	merged := map[Kind]int{}
	rapid.Check(t, func(t *rapid.T) {
		s := anySuper(t)
		for i := range s.ipOptions {
			s.ipOptions[i] = 1
		}
		var frames [][]byte
		for _, f := range s.segments(int(s.segment)) {
			if len(f.Data) <= 1514+len(s.tags) && rapid.IntRange(0, 9).Draw(t, "fate") > 0 {
				frames = append(frames, f.Data)
			}
		}
		m := Merger{Kinds: all}
		for _, f := range merge(t, &m, frames) {
			merged[f.Kind]++
			k.compare(t, f, cutAgain(t, []Frame{f}))
		}
	})
	if merged[TCP4] == 0 || merged[TCP6] == 0 || merged[UDP] == 0 {
		t.Errorf("merged: %v", merged)
	}
}
