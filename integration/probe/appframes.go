package main

import (
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"hash/crc32"
	"net"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	vnetHeader = 10 // struct virtio_net_hdr
	frameRoom  = 1 << 17
)

// packetSocket hears what comes to a device, with the kernel's word on segments in front of each
// frame.
func packetSocket(device string) (*os.File, error) {
	iface, err := net.InterfaceByName(device)
	if err != nil {
		return nil, err
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("packet socket: %w", err)
	}
	err = errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 16<<20),
		unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_AUXDATA, 1),
		unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1),
		unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: binary.NativeEndian.Uint16([]byte{0, unix.ETH_P_ALL}), Ifindex: iface.Index}))
	if err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	return os.NewFile(uintptr(fd), "packets of "+device), nil
}

// heard is one frame that came to a device.
type heard struct {
	segment    int    // of a frame that the kernel has not cut, its payload in segments of so much
	unfinished bool   // its checksum
	frame      []byte // without a tag that the kernel took out
	tag        string // that one, as 8100:ID
}

// hear gives every frame that others sent to f until none has come for a while.
func hear(ctx context.Context, device string, first, idle time.Duration, ready func() error, f func(heard) bool) (err error) {
	file, err := packetSocket(device)
	if err != nil {
		return err
	}
	defer file.Close() //nolint:errcheck // only read from
	if err := errors.Join(file.SetReadDeadline(time.Now().Add(first)), ready()); err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = file.SetReadDeadline(time.Now()) })()
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	data, control := make([]byte, frameRoom), make([]byte, 256)
	for {
		var n, used int
		var from unix.Sockaddr
		var failed error
		err := raw.Read(func(fd uintptr) bool {
			n, used, _, from, failed = unix.Recvmsg(int(fd), data, control, 0)
			return !errors.Is(failed, unix.EAGAIN)
		})
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil
		}
		if err := errors.Join(err, failed); err != nil {
			return err
		}
		if l, ok := from.(*unix.SockaddrLinklayer); n < vnetHeader+etherLen || ok && l.Pkttype == unix.PACKET_OUTGOING {
			continue
		}
		one := heard{frame: data[vnetHeader:n], tag: tagOf(control[:used]), unfinished: data[0]&unix.VIRTIO_NET_HDR_F_NEEDS_CSUM != 0}
		if data[1] != 0 { // gso_type
			one.segment = int(binary.NativeEndian.Uint16(data[4:]))
		}
		if f(one) && ctx.Err() == nil {
			if err := file.SetReadDeadline(time.Now().Add(idle)); err != nil {
				return err
			}
		}
	}
}

// tagOf reads the tag that the kernel took out of a frame, struct tpacket_auxdata.
func tagOf(control []byte) string {
	const valid, auxdata = 1 << 4, 8 // TP_STATUS_VLAN_VALID, PACKET_AUXDATA
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return ""
	}
	for _, m := range messages {
		if m.Header.Type == auxdata && len(m.Data) >= 20 && binary.NativeEndian.Uint32(m.Data)&valid != 0 {
			return tagText(binary.NativeEndian.Uint16(m.Data[18:]), binary.NativeEndian.Uint16(m.Data[16:]))
		}
	}
	return ""
}

func tagText(kind, tci uint16) string { return fmt.Sprintf("%04x:%d", kind, tci&0xfff) }

// appFramesReceive counts frames of one EtherType by their tags and their bytes.
func appFramesReceive(ctx context.Context, out *printer, args []string) error {
	flags := flag.NewFlagSet("app-frames-recv", flag.ContinueOnError)
	device := flags.String("dev", "eth0", "`interface`")
	kind := flags.Uint("type", 0x88b5, "`EtherType` behind all tags")
	proto := flags.Uint("proto", 0, "IPv4 `protocol`; tells content too")
	first := flags.Duration("first", 5*time.Second, "end when nothing has come at all for so long")
	idle := flags.Duration("idle", time.Second, "end when nothing more has come for so long")
	if err := flags.Parse(args); err != nil {
		return err
	}
	got := struct {
		Frames map[string]int `json:"frames"` // by tags and bytes on the wire
	}{map[string]int{}}
	ready := func() error { return out.print(listening{*device}) }
	err := hear(ctx, *device, *first, *idle, ready, func(h heard) bool {
		tags, bytes := []string{}, len(h.frame)
		if h.tag != "" {
			tags, bytes = append(tags, h.tag), bytes+4
		}
		rest := h.frame[12:]
		for len(rest) >= 6 {
			t := binary.BigEndian.Uint16(rest)
			if t != unix.ETH_P_8021Q && t != unix.ETH_P_8021AD {
				break
			}
			tags, rest = append(tags, tagText(t, binary.BigEndian.Uint16(rest[2:]))), rest[4:]
		}
		if uint(binary.BigEndian.Uint16(rest)) != *kind {
			return false
		}
		if *proto != 0 {
			if len(rest) < 22 || uint(rest[2+9]) != *proto {
				return false
			}
			tags = append(tags, fmt.Sprintf("content %08x", crc32.ChecksumIEEE(rest)))
		}
		got.Frames[strings.Join(append(tags, fmt.Sprintf("%d bytes", bytes)), " ")]++
		return true
	})
	return errors.Join(err, out.print(got))
}

// appSegments finds the largest TCP segment that comes to a port, as the sender has cut it or
// wants it cut.
func appSegments(ctx context.Context, out *printer, args []string) error {
	flags := flag.NewFlagSet("app-segments", flag.ContinueOnError)
	device := flags.String("dev", "eth0", "`interface`")
	port := flags.Uint("port", 5556, "destination `port`")
	first := flags.Duration("first", 5*time.Second, "end when nothing has come at all for so long")
	idle := flags.Duration("idle", 500*time.Millisecond, "end when nothing more has come for so long")
	if err := flags.Parse(args); err != nil {
		return err
	}
	var got struct {
		Segments int `json:"segments"` // frames with payload, also those that hold several
		Largest  int `json:"largest"`  // bytes of payload in one segment
	}
	ready := func() error { return out.print(listening{*device}) }
	err := hear(ctx, *device, *first, *idle, ready, func(h heard) bool {
		payload, ok := tcpPayload(h.frame, uint16(*port))
		if !ok || payload == 0 {
			return ok
		}
		if h.segment > 0 {
			payload = min(payload, h.segment)
		}
		got.Segments++
		got.Largest = max(got.Largest, payload)
		return true
	})
	return errors.Join(err, out.print(got))
}

// tcpPayload is how many bytes of a stream to a port a frame carries.
func tcpPayload(frame []byte, port uint16) (int, bool) {
	ip := frame[etherLen:]
	var head, total int
	switch {
	case binary.BigEndian.Uint16(frame[12:]) == unix.ETH_P_IP && len(ip) >= 20 && ip[9] == unix.IPPROTO_TCP:
		head, total = int(ip[0]&15)*4, int(binary.BigEndian.Uint16(ip[2:]))
	case binary.BigEndian.Uint16(frame[12:]) == unix.ETH_P_IPV6 && len(ip) >= 40 && ip[6] == unix.IPPROTO_TCP:
		head, total = 40, 40+int(binary.BigEndian.Uint16(ip[4:]))
	default:
		return 0, false
	}
	if len(ip) < head+20 || binary.BigEndian.Uint16(ip[head+2:]) != port {
		return 0, false
	}
	if total == 0 || total > len(ip) { // a frame with more than 64 KiB says 0
		total = len(ip)
	}
	return total - head - int(ip[head+12]>>4)*4, true
}
