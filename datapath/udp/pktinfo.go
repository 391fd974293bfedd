package udp

import (
	"encoding/binary"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Source is a local address to send from. The zero Source leaves the choice to
// the kernel.
type Source struct {
	Addr    netip.Addr
	control []byte // the control message that chooses it
}

// newSource makes the Source of a local address for a socket of the given
// family. An AF_INET6 socket takes IPv4 addresses in their mapped form, also in
// IPV6_PKTINFO (Linux, ip_cmsg_send with allow_ipv6).
func newSource(family int, addr netip.Addr) Source {
	addr = addr.Unmap().WithZone("")
	if !addr.IsValid() || addr.IsUnspecified() {
		return Source{}
	}
	if family == unix.AF_INET6 {
		b := make([]byte, unix.CmsgSpace(unix.SizeofInet6Pktinfo))
		putHeader(b, unix.IPPROTO_IPV6, unix.IPV6_PKTINFO, unix.SizeofInet6Pktinfo)
		ip := addr.As16()
		copy(b[unix.CmsgLen(0):], ip[:])
		return Source{Addr: addr, control: b}
	}
	if !addr.Is4() {
		return Source{Addr: addr}
	}
	b := make([]byte, unix.CmsgSpace(unix.SizeofInet4Pktinfo))
	putHeader(b, unix.IPPROTO_IP, unix.IP_PKTINFO, unix.SizeofInet4Pktinfo)
	ip := addr.As4()
	copy(b[unix.CmsgLen(0)+4:], ip[:]) // ipi_spec_dst follows the interface index
	return Source{Addr: addr, control: b}
}

func putHeader(b []byte, level, typ int32, size int) {
	h := (*unix.Cmsghdr)(unsafe.Pointer(unsafe.SliceData(b))) //nolint:gosec // the kernel's layout of a control message
	h.Level, h.Type = level, typ
	h.SetLen(unix.CmsgLen(size))
}

// putSegment appends the control message by which the kernel cuts a message into datagrams of
// a size, and returns its length. The buffer has room for it.
func putSegment(b []byte, size int) int {
	putHeader(b, unix.IPPROTO_UDP, unix.UDP_SEGMENT, 2)
	binary.NativeEndian.PutUint16(b[unix.CmsgLen(0):], uint16(size))
	return unix.CmsgSpace(2)
}

// readControl finds the local address, the kernel's count of datagrams that found the
// socket's buffer full, and the size of the datagrams of a run, which is 0 for a single one.
func readControl(b []byte) (local netip.Addr, overflow uint32, size int) {
	for len(b) >= unix.CmsgLen(0) {
		header, data, rest, err := unix.ParseOneSocketControlMessage(b)
		if err != nil {
			return local, overflow, size
		}
		switch {
		case header.Level == unix.IPPROTO_IPV6 && header.Type == unix.IPV6_PKTINFO && len(data) >= 16:
			local = netip.AddrFrom16([16]byte(data)).Unmap()
		case header.Level == unix.IPPROTO_IP && header.Type == unix.IP_PKTINFO && len(data) >= 12:
			local = netip.AddrFrom4([4]byte(data[8:12])) // ipi_addr: the destination in the header
		case header.Level == unix.SOL_SOCKET && header.Type == unix.SO_RXQ_OVFL && len(data) >= 4:
			overflow = binary.NativeEndian.Uint32(data)
		case header.Level == unix.IPPROTO_UDP && header.Type == unix.UDP_GRO && len(data) >= 4:
			size = int(int32(binary.NativeEndian.Uint32(data)))
		}
		b = rest
	}
	return local, overflow, size
}
