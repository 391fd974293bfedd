//go:build component

package netdev

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// packets is a packet socket on a device, with the kernel's header of segments in front of
// each frame.
func packets(t *testing.T, device string, protocol uint16) int {
	t.Helper()
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	index, err := Index(device)
	tv := unix.Timeval{Usec: 200_000}
	if err := errors.Join(err,
		unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv),
		unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: protocol<<8 | protocol>>8, Ifindex: index})); err != nil {
		t.Fatal(err)
	}
	return fd
}

// segments says how a frame is to be cut: the kind of its segments (VIRTIO_NET_HDR_GSO_…), the
// size of their payloads, where the checksum begins and where it belongs.
type segments struct {
	kind                   byte
	payload, start, offset uint16
}

func (s segments) header() []byte {
	h := make([]byte, 10)
	if s.kind != 0 {
		h[0], h[1] = 1, s.kind
		binary.NativeEndian.PutUint16(h[2:], s.start+20)
		binary.NativeEndian.PutUint16(h[4:], s.payload)
		binary.NativeEndian.PutUint16(h[6:], s.start)
		binary.NativeEndian.PutUint16(h[8:], s.offset)
	}
	return h
}

// TestSocketFilter: what a switch in user space cannot send on ends in the filter, and is counted
// by segments.
func TestSocketFilter(t *testing.T) {
	const mtu = 1400
	if err := CreateVeth("host0", "cont0", mtu, testMAC); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = Delete("host0") })
	if err := errors.Join(SetUp("cont0", 9000), WaitCarrier(t.Context(), "host0")); err != nil {
		t.Fatal(err)
	}
	f, err := NewSocketFilter(mtu)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // the test is over
	ear, mouth := packets(t, "host0", unix.ETH_P_ALL), packets(t, "cont0", 0)
	if err := f.Attach(ear); err != nil {
		t.Fatal(err)
	}

	head := func(kind ...byte) []byte { return slices.Concat(make([]byte, 12), kind) }
	ip4 := func(protocol byte, length int, above ...byte) []byte {
		p := slices.Concat([]byte{0x45, 0, byte(length >> 8), byte(length), 0, 0, 0, 0, 64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2}, above)
		return slices.Concat(head(8, 0), p, make([]byte, length-len(p)))
	}
	ip6 := func(next byte, length int, above ...byte) []byte {
		p := slices.Concat([]byte{0x60, 0, 0, 0, byte((length - 40) >> 8), byte(length - 40), next, 64}, make([]byte, 32), above)
		return slices.Concat(head(0x86, 0xdd), p, make([]byte, length-len(p)))
	}
	tcp := func(flags byte) []byte {
		return []byte{0, 1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, flags, 0, 0, 0, 0, 0, 0}
	}
	udp := func(length int) []byte { return []byte{0, 1, 0, 2, byte(length >> 8), byte(length), 0, 0} }
	const v4, v6, udpSegments = 1, 4, 5 // VIRTIO_NET_HDR_GSO_…
	raw := func(kind []byte, length int) []byte {
		return slices.Concat(head(kind...), make([]byte, length-12-len(kind)))
	}

	for _, c := range []struct {
		name             string
		frame            []byte
		cut              segments
		offload, tooLong uint64
	}{
		{"full", raw([]byte{0x88, 0xb5}, mtu+14), segments{}, 0, 0},
		{"one byte too long", raw([]byte{0x88, 0xb5}, mtu+15), segments{}, 0, 1},
		{"full, with a tag", raw([]byte{0x81, 0, 0, 10, 0x88, 0xb5}, mtu+18), segments{}, 0, 0},
		{"full, with a provider's tag", raw([]byte{0x88, 0xa8, 0, 10, 0x88, 0xb5}, mtu+18), segments{}, 0, 1},
		{"TCP in 3 segments", ip4(6, 40+3*1360, tcp(0x10)...), segments{v4, 1360, 34, 16}, 0, 0},
		{"TCP in small segments", ip4(6, 40+10*100, tcp(0x10)...), segments{v4, 100, 34, 16}, 0, 0},
		{"TCP in segments that are too long", ip4(6, 40+3*1361, tcp(0x10)...), segments{v4, 1361, 34, 16}, 0, 3},
		{"TCP by IPv6", ip6(6, 60+3*1340, tcp(0x10)...), segments{v6, 1340, 54, 16}, 0, 0},
		{"TCP by IPv6 that is too long", ip6(6, 60+3*1341, tcp(0x10)...), segments{v6, 1341, 54, 16}, 0, 3},
		{"TCP behind an extension header", ip6(60, 68+3*1332, append([]byte{6, 0, 1, 4, 0, 0, 0, 0}, tcp(0x10)...)...), segments{v6, 1332, 62, 16}, 0, 0},
		{"TCP that says CWR once", ip4(6, 40+3*1360, tcp(0x90)...), segments{v4 | 0x80, 1360, 34, 16}, 3, 0},
		{"UDP segments", ip4(17, 28+5*500, udp(8+5*500)...), segments{udpSegments, 500, 34, 6}, 5, 0},
		{"UDP segments by IPv6", ip6(17, 48+5*500, udp(8+5*500)...), segments{udpSegments, 500, 54, 6}, 5, 0},
	} {
		offload, tooLong, err := f.Counts()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := unix.Write(mouth, append(c.cut.header(), c.frame...)); err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		got := make([]byte, 1<<16)
		n, err := unix.Read(ear, got)
		passed := err == nil && n > 100 && bytes.HasSuffix(c.frame, got[10+40:n])
		if want := c.offload+c.tooLong == 0; passed != want {
			t.Errorf("%s: it passes: %v, want %v, %v", c.name, passed, want, err)
		}
		offload2, tooLong2, err := f.Counts()
		if err != nil || offload2-offload != c.offload || tooLong2-tooLong != c.tooLong {
			t.Errorf("%s: counted %d and %d, want %d and %d, %v", c.name, offload2-offload, tooLong2-tooLong, c.offload, c.tooLong, err)
		}
	}
	if _, err := NewSocketFilter(7); err == nil {
		t.Error("an MTU of 7 is taken")
	}
}

// TestPacketSockets: the kernel tells a socket's device, room and drops.
func TestPacketSockets(t *testing.T) {
	if err := CreateVeth("host0", "cont0", 1400, testMAC); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = Delete("host0") })
	if err := errors.Join(SetUp("cont0", 1400), WaitCarrier(t.Context(), "host0")); err != nil {
		t.Fatal(err)
	}
	index, err := Index("host0")
	if err != nil {
		t.Fatal(err)
	}
	find := func() (found PacketSocket) {
		t.Helper()
		all, err := PacketSockets()
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range all {
			if s.Index == index {
				found = s
			}
		}
		return found
	}
	if s := find(); s != (PacketSocket{}) {
		t.Fatalf("a socket that nobody made: %+v", s)
	}
	ear, mouth := packets(t, "host0", unix.ETH_P_ALL), packets(t, "cont0", 0)
	if err := unix.SetsockoptInt(ear, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 100_000); err != nil {
		t.Fatal(err)
	}
	before := find()
	if before.Inode == 0 || before.Room != 200_000 || before.SendTo == 0 {
		t.Errorf("%+v", before)
	}
	const sent = 500
	for range sent {
		if _, err := unix.Write(mouth, make([]byte, 10+1400)); err != nil {
			t.Fatal(err)
		}
	}
	dropped := find().Dropped - before.Dropped
	taken := 0
	for buffer := make([]byte, 2000); ; taken++ {
		if _, err := unix.Read(ear, buffer); err != nil {
			break
		}
	}
	if dropped == 0 || taken+int(dropped) < sent {
		t.Errorf("%d frames taken and %d dropped of %d", taken, dropped, sent)
	}
}
