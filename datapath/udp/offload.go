package udp

import (
	"fmt"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// Offload says what may be left to the kernel. The zero value is nothing: each datagram is
// a message of its own.
type Offload struct {
	Send    bool // it cuts a run into datagrams (UDP_SEGMENT)
	Receive bool // it merges datagrams of one path and size into runs (UDP_GRO)
}

// OffloadState says whether something is left to the kernel, and why not.
type OffloadState struct {
	On     bool   `json:"on"`
	Reason string `json:"reason,omitempty"`
}

// Offloads is what is left to the kernel at present.
type Offloads struct {
	Send    OffloadState `json:"send"`
	Receive OffloadState `json:"receive"`
	// Refused is how many routes there are at present on which the kernel does not cut runs,
	// because their MTU is below the datagrams' size, or their device computes no checksums.
	Refused int `json:"refused"`
}

const (
	switchedOff = "switched off by configuration"
	notOpen     = "the socket is not open"
)

// probe asks a socket of the kernel for what is wanted. A kernel that does not know
// UDP_SEGMENT would ignore it in a message, and send a run as one large datagram.
func probe(fd int, want Offload) (have Offloads) {
	have.Send = probed(want.Send, func() error {
		_, err := unix.GetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_SEGMENT)
		return err
	})
	have.Receive = probed(want.Receive, func() error {
		return unix.SetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_GRO, 1)
	})
	return have
}

func probed(want bool, try func() error) OffloadState {
	if !want {
		return OffloadState{Reason: switchedOff}
	}
	if err := try(); err != nil {
		return OffloadState{Reason: fmt.Sprintf("not in this kernel: %v", err)}
	}
	return OffloadState{On: true}
}

// control calls f with the descriptor of a connection.
func control(conn *net.UDPConn, f func(fd int) error) (syscall.RawConn, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	if e := raw.Control(func(fd uintptr) { err = f(int(fd)) }); e != nil {
		return nil, e
	}
	return raw, err
}
