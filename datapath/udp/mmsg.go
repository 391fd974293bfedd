package udp

import (
	"encoding/binary"
	"net"
	"net/netip"
	"strconv"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mmsg makes one system call with headers, sendmmsg or recvmmsg, and counts it. It returns
// false if the descriptor is not ready, as the functions of a syscall.RawConn do.
func mmsg(trap, fd uintptr, headers []unix.Mmsghdr, counter *atomic.Uint64) (n int, errno unix.Errno, ready bool) {
	for {
		counter.Add(1)
		r, _, e := unix.Syscall6(trap, fd, uintptr(unsafe.Pointer(unsafe.SliceData(headers))), uintptr(len(headers)), 0, 0, 0) //nolint:gosec // the headers live as long as the call
		switch e {
		case 0:
			return int(r), 0, true
		case unix.EINTR:
		case unix.EAGAIN:
			return 0, 0, false
		default:
			return 0, e, true
		}
	}
}

// namePointer is an address as a message header has it.
func namePointer(name *unix.RawSockaddrInet6) *byte { return (*byte)(unsafe.Pointer(name)) } //nolint:gosec // of the kernel's interface

// putName writes an address as a socket of the given family takes it, and returns its length.
func putName(name *unix.RawSockaddrInet6, family int, to netip.AddrPort) (uint32, error) {
	if family == unix.AF_INET6 {
		*name = unix.RawSockaddrInet6{
			Family: unix.AF_INET6, Port: networkOrder(to.Port()), Addr: to.Addr().As16(), Scope_id: scope(to.Addr()),
		}
		return unix.SizeofSockaddrInet6, nil
	}
	addr := to.Addr().Unmap()
	if !addr.Is4() {
		return 0, unix.EAFNOSUPPORT
	}
	*(*unix.RawSockaddrInet4)(unsafe.Pointer(name)) = unix.RawSockaddrInet4{ //nolint:gosec // which is the smaller one
		Family: unix.AF_INET, Port: networkOrder(to.Port()), Addr: addr.As4(),
	}
	return unix.SizeofSockaddrInet4, nil
}

// readName reads an address that the kernel has written. It is the zero one if it is of
// another family.
func readName(name *unix.RawSockaddrInet6) netip.AddrPort {
	switch name.Family {
	case unix.AF_INET6:
		addr := netip.AddrFrom16(name.Addr).Unmap()
		if name.Scope_id != 0 {
			addr = addr.WithZone(strconv.FormatUint(uint64(name.Scope_id), 10))
		}
		return netip.AddrPortFrom(addr, networkOrder(name.Port))
	case unix.AF_INET:
		name := (*unix.RawSockaddrInet4)(unsafe.Pointer(name)) //nolint:gosec // as above
		return netip.AddrPortFrom(netip.AddrFrom4(name.Addr), networkOrder(name.Port))
	default:
		return netip.AddrPort{}
	}
}

// scope returns the index of an address's zone, 0 if there is none.
func scope(addr netip.Addr) uint32 {
	zone := addr.Zone()
	if zone == "" {
		return 0
	}
	if n, err := strconv.ParseUint(zone, 10, 32); err == nil {
		return uint32(n)
	}
	i, err := net.InterfaceByName(zone)
	if err != nil {
		return 0 // the kernel refuses the address
	}
	return uint32(i.Index)
}

// networkOrder turns a port from this machine's byte order into the network's, or back.
func networkOrder(port uint16) uint16 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], port)
	return binary.NativeEndian.Uint16(b[:])
}
