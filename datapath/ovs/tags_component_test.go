//go:build component

package ovs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"testing"

	"golang.org/x/sys/unix"

	"evio/datapath/frame"
	"evio/datapath/tap"
)

// onesSum returns the sum of RFC 1071.
func onesSum(b ...byte) uint16 {
	sum := uint32(0)
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	sum = sum>>16 + sum&0xffff
	return uint16(sum>>16 + sum&0xffff)
}

// unfinished is a frame of TCP behind VLAN tags, with segments of 1,000 bytes.
func unfinished(from, to MAC, tags, segments int) frame.Frame {
	data := append(append([]byte{}, to[:]...), from[:]...)
	for i := range tags {
		kind := []byte{0x81, 0, 0, 5}
		if i == 0 && tags > 1 {
			kind[0], kind[1] = 0x88, 0xa8
		}
		data = append(data, kind...)
	}
	data = append(data, 8, 0)
	l4 := 20 + segments*1000
	addrs := []byte{10, 1, 0, 9, 10, 1, 0, 1}
	ip := binary.BigEndian.AppendUint16([]byte{0x45, 0}, uint16(20+l4))
	ip = append(append(ip, 0, 1, 0x40, 0, 64, unix.IPPROTO_TCP, 0, 0), addrs...)
	binary.BigEndian.PutUint16(ip[10:], ^onesSum(ip...))
	f := frame.Frame{Partial: true, Start: uint16(len(data) + len(ip)), Offset: 16}
	if segments > 1 {
		f.Kind, f.Segment = frame.TCP4, 1000
	}
	tcp := []byte{0x13, 0x88, 0x13, 0x89, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x10, 1, 0, 0, 0, 0, 0}
	binary.BigEndian.PutUint16(tcp[16:], onesSum(append(addrs, 0, unix.IPPROTO_TCP, byte(l4>>8), byte(l4))...))
	f.Data = append(append(append(data, ip...), tcp...), make([]byte, segments*1000)...)
	return f
}

// TestUnfinishedFramesBehindTags: what a link hands over gets to the container, with its checksums
// finished or still known to be unfinished. The switch of the sender may look behind more tags
// than this one.
func TestUnfinishedFramesBehindTags(t *testing.T) {
	s := start(t)
	known, _ := s.Offloads("l0")
	link, err := tap.Open(tap.Config{Name: "l0", MTU: testMTU, Offloads: tap.Offloads{Checksums: true, TCP: true, OneTag: known.OneTag}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = link.Close() })
	a, far := newBox(t, "a", 1), hw(9)
	apply(t, s, network("br0", a.port(), Port{Name: "l0", Role: Link, MACs: []MAC{far}}))
	ear := openPacket(t, &a)
	if err := errors.Join(
		unix.SetsockoptInt(ear.fd, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1),
		unix.SetsockoptTimeval(ear.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 5}),
	); err != nil {
		t.Fatal(err)
	}
	for tags := range 3 {
		for _, segments := range []int{1, 4} {
			t.Run(fmt.Sprintf("%d tags, %d segments", tags, segments), func(t *testing.T) {
				if n, err := link.WriteFrames([]frame.Frame{unfinished(far, a.mac, tags, segments)}); n != 1 || err != nil {
					t.Fatal(n, err)
				}
				buf := make([]byte, 1<<16)
				for left := segments; left > 0; {
					n, err := unix.Read(ear.fd, buf)
					if err != nil {
						t.Fatalf("%d segments are lost: %v", left, err)
					}
					header, data := buf[:10], buf[10:n]
					at := 12
					for data[at] == 0x81 || data[at] == 0x88 {
						at += 4
					}
					if len(data) < 1000 || data[at] != 8 || data[at+1] != 0 {
						continue
					}
					l4 := at + 2 + 20
					payload := len(data) - l4 - 20
					left -= payload / 1000
					if header[0]&unix.VIRTIO_NET_HDR_F_NEEDS_CSUM != 0 && int(binary.NativeEndian.Uint16(header[6:])) == l4 {
						continue
					}
					tcp := data[l4:]
					pseudo := append(append([]byte{}, data[at+14:at+22]...), 0, unix.IPPROTO_TCP, byte(len(tcp)>>8), byte(len(tcp)))
					if sum := onesSum(append(pseudo, tcp...)...); sum != 0xffff || payload != 1000 {
						t.Errorf("a frame with %d bytes of payload, header %x, sum %x", payload, header, sum)
					}
				}
			})
		}
	}
}
