package tap

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"evio/datapath/frame"
)

// headerLen is the length of struct virtio_net_hdr (include/uapi/linux/virtio_net.h) without
// num_buffers. It lies in front of each frame and is in the byte order of the machine:
// flags (1), gso_type (1), hdr_len (2), gso_size (2), csum_start (2), csum_offset (2).
const headerLen = 10

const (
	// checksumValid says that the kernel has verified a checksum. It is the last of the flags
	// that a TAP sends.
	checksumValid = unix.VIRTIO_NET_HDR_F_DATA_VALID
	flags         = unix.VIRTIO_NET_HDR_F_NEEDS_CSUM | checksumValid
	// ecn marks a super-frame of TCP whose first segment has CWR, and no other.
	ecn = unix.VIRTIO_NET_HDR_GSO_ECN

	// Offsets of checksums in the headers of TCP and UDP.
	tcpSum = 16
	udpSum = 6

	tcpFlags = 13
	flagCWR  = 0x80
	minTCP   = 20
	lenUDP   = 8
)

// decode reads what the kernel says of a frame. It returns false if that is not possible for
// the frame, or is of a kind that there is no name for here.
//
// hdr_len is only how much of the frame lies in one piece in the kernel.
func decode(header, data []byte) (frame.Frame, bool) {
	f := frame.Frame{Data: data}
	if len(header) < headerLen || header[0]&^flags != 0 {
		return f, false
	}
	if header[0]&unix.VIRTIO_NET_HDR_F_NEEDS_CSUM != 0 {
		f.Partial = true
		f.Start, f.Offset = binary.NativeEndian.Uint16(header[6:]), binary.NativeEndian.Uint16(header[8:])
		if !sumFits(f) {
			return f, false
		}
	}
	switch header[1] {
	case unix.VIRTIO_NET_HDR_GSO_NONE:
		return f, true
	case unix.VIRTIO_NET_HDR_GSO_TCPV4, unix.VIRTIO_NET_HDR_GSO_TCPV4 | ecn:
		f.Kind = frame.TCP4
	case unix.VIRTIO_NET_HDR_GSO_TCPV6, unix.VIRTIO_NET_HDR_GSO_TCPV6 | ecn:
		f.Kind = frame.TCP6
	case unix.VIRTIO_NET_HDR_GSO_UDP_L4:
		f.Kind = frame.UDP
	default:
		return f, false
	}
	f.Segment = binary.NativeEndian.Uint16(header[4:])
	_, ok := payload(f)
	return f, ok
}

// encode writes what the kernel is to know of a frame. It returns false if that does not suit
// the frame.
func encode(header []byte, f frame.Frame) bool {
	clear(header[:headerLen])
	if !f.Partial {
		return f.Kind == frame.Single
	}
	if !sumFits(f) {
		return false
	}
	header[0] = unix.VIRTIO_NET_HDR_F_NEEDS_CSUM
	binary.NativeEndian.PutUint16(header[6:], f.Start)
	binary.NativeEndian.PutUint16(header[8:], f.Offset)
	if f.Kind == frame.Single {
		return true
	}
	at, ok := payload(f)
	if !ok {
		return false
	}
	switch f.Kind {
	case frame.TCP4:
		header[1] = unix.VIRTIO_NET_HDR_GSO_TCPV4
	case frame.TCP6:
		header[1] = unix.VIRTIO_NET_HDR_GSO_TCPV6
	case frame.UDP:
		header[1] = unix.VIRTIO_NET_HDR_GSO_UDP_L4
	case frame.Single:
	}
	if f.Kind != frame.UDP && f.Data[int(f.Start)+tcpFlags]&flagCWR != 0 {
		header[1] |= ecn
	}
	binary.NativeEndian.PutUint16(header[2:], uint16(at))
	binary.NativeEndian.PutUint16(header[4:], f.Segment)
	return true
}

// sumFits reports whether the unfinished checksum lies in the frame, behind its Ethernet
// header.
func sumFits(f frame.Frame) bool {
	return f.Start >= minFrame && int(f.Start)+int(f.Offset)+2 <= len(f.Data)
}

// payload returns where the payload of a super-frame begins, and false if it is none.
func payload(f frame.Frame) (at int, ok bool) {
	if !f.Partial || f.Segment == 0 || !sumFits(f) {
		return 0, false
	}
	start := int(f.Start)
	switch f.Kind {
	case frame.TCP4, frame.TCP6:
		if f.Offset != tcpSum || start+minTCP > len(f.Data) {
			return 0, false
		}
		length := int(f.Data[start+12]>>4) * 4
		return start + length, length >= minTCP && start+length <= len(f.Data)
	case frame.UDP:
		return start + lenUDP, f.Offset == udpSum
	default:
		return 0, false
	}
}
