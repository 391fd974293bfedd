package udp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	// MaxDatagram is the largest datagram that is received whole. Records have
	// at most 1,452 bytes, handshake datagrams and STUN messages stay below.
	MaxDatagram = 2048

	// kernelBuffer is asked for in both directions; what the kernel grants
	// without CAP_NET_ADMIN is less and good enough to work.
	kernelBuffer = 4 << 20

	controlSpace = 128
)

// ErrClosed is returned by Run and Send after Close.
var ErrClosed = errors.New("UDP socket is closed")

// Datagram is a datagram with its path.
type Datagram struct {
	Local  netip.Addr     // the address it was sent to
	Remote netip.AddrPort // where it came from, IPv4 never in its mapped form
	Data   []byte
}

// Stats counts the socket's traffic.
type Stats struct {
	Received  map[string]uint64 `json:"received"` // by class
	Sent      map[string]uint64 `json:"sent"`     // by class
	Truncated uint64            `json:"truncated"`
	Overflow  uint64            `json:"overflow"` // found the kernel's buffer full
}

// Socket is a UDP socket on all addresses of both families.
type Socket struct {
	conn   *net.UDPConn
	family int
	port   int

	received, sent      [Classes]atomic.Uint64
	truncated, overflow atomic.Uint64
	closed              atomic.Bool
}

// Listen binds the port, any free one if it is 0.
func Listen(port int) (*Socket, error) {
	if port < 0 || port > 65535 {
		return nil, fmt.Errorf("UDP port %d: choose one from 1 to 65535, or 0 for any", port)
	}
	s := &Socket{}
	config := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var err error
		if e := raw.Control(func(fd uintptr) { s.family, err = configure(int(fd)) }); e != nil {
			return e
		}
		return err
	}}
	conn, err := config.ListenPacket(context.Background(), "udp", fmt.Sprintf(":%d", port))
	if err != nil {
		return nil, fmt.Errorf("listen on UDP port %d: %w", port, err)
	}
	s.conn = conn.(*net.UDPConn) // "udp" gives nothing else
	s.port = s.conn.LocalAddr().(*net.UDPAddr).Port
	return s, nil
}

// configure sets the options of a fresh socket and tells its family. The
// destination address is indispensable; larger buffers, DF off (no path MTU is
// probed yet) and the overflow count are had where the kernel grants them.
func configure(fd int) (family int, err error) {
	if family, err = unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN); err != nil {
		return 0, fmt.Errorf("socket family: %w", err)
	}
	if family == unix.AF_INET6 {
		err = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
	} else {
		err = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
	}
	if err != nil {
		return 0, fmt.Errorf("ask for destination addresses: %w", err)
	}
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, kernelBuffer) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, kernelBuffer)
	}
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, kernelBuffer) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, kernelBuffer)
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RXQ_OVFL, 1)
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DONT)
	if family == unix.AF_INET6 {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_DONT)
	}
	return family, nil
}

// Port returns the port the socket is bound to.
func (s *Socket) Port() int { return s.port }

// Source returns what Send needs to send from a local address. The zero Addr
// leaves the choice to the kernel.
func (s *Socket) Source(local netip.Addr) Source { return newSource(s.family, local) }

// Run delivers datagrams until Close and returns ErrClosed then. The vector and
// the bytes in it are valid during the call of deliver only, which may change
// the bytes.
func (s *Socket) Run(deliver func([]Datagram)) error {
	var (
		buffer  [MaxDatagram]byte
		control [controlSpace]byte
		vector  [1]Datagram
	)
	for {
		n, cn, flags, remote, err := s.conn.ReadMsgUDPAddrPort(buffer[:], control[:])
		switch {
		case s.closed.Load():
			return ErrClosed
		case err != nil:
			if transient(err) {
				continue
			}
			return fmt.Errorf("receive from UDP port %d: %w", s.port, err)
		}
		local, overflow := readControl(control[:cn])
		if overflow != 0 {
			s.overflow.Store(uint64(overflow))
		}
		if flags&unix.MSG_TRUNC != 0 {
			s.truncated.Add(1)
			continue
		}
		data := buffer[:n]
		s.received[Classify(data)].Add(1)
		vector[0] = Datagram{
			Local:  local,
			Remote: netip.AddrPortFrom(remote.Addr().Unmap(), remote.Port()),
			Data:   data,
		}
		deliver(vector[:])
	}
}

// transient tells errors of single datagrams, such as an ICMP answer to an
// earlier one, from the end of the socket.
func transient(err error) bool {
	return errors.Is(err, unix.ECONNREFUSED) || errors.Is(err, unix.EHOSTUNREACH) ||
		errors.Is(err, unix.ENETUNREACH) || errors.Is(err, unix.EMSGSIZE) ||
		errors.Is(err, unix.ENOMEM) || errors.Is(err, unix.ENOBUFS)
}

// Send sends one datagram. It waits only for room in the local queue.
func (s *Socket) Send(source Source, remote netip.AddrPort, datagram []byte) error {
	_, _, err := s.conn.WriteMsgUDPAddrPort(datagram, source.control, remote)
	if err != nil {
		if s.closed.Load() {
			return ErrClosed
		}
		return fmt.Errorf("send to %s: %w", remote, err)
	}
	s.sent[Classify(datagram)].Add(1)
	return nil
}

// Stats returns the counters.
func (s *Socket) Stats() Stats {
	stats := Stats{
		Received:  make(map[string]uint64),
		Sent:      make(map[string]uint64),
		Truncated: s.truncated.Load(),
		Overflow:  s.overflow.Load(),
	}
	for class := range Classes {
		stats.Received[class.String()] = s.received[class].Load()
		stats.Sent[class.String()] = s.sent[class].Load()
	}
	return stats
}

// Close releases the port and ends Run. It may be called again.
func (s *Socket) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	return s.conn.Close()
}
