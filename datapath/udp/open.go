package udp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"evio/internal/backoff"
)

// New returns the socket of a port, of any free one if it is 0, which leaves to the kernel
// what offload says and the kernel knows. The port may be taken for now: Run and Open bind
// it. What cannot be a port is an error.
func New(port int, offload Offload) (*Socket, error) {
	if port < 0 || port > 65535 {
		return nil, fmt.Errorf("UDP port %d: choose one from 1 to 65535, or 0 for any", port)
	}
	s := &Socket{wanted: port, offload: offload, ended: make(chan struct{})}
	s.port.Store(int32(port))
	s.family.Store(unix.AF_INET6)
	return s, nil
}

// Open binds the port now, if it is not bound. Run does the same by itself; a caller does
// it first when it wants to know the port before Run is called.
func (s *Socket) Open() error {
	if s.conn.Load() != nil {
		return nil
	}
	return s.open()
}

// open binds the port that the socket had, or is to have. Where any is good and the last one
// is taken, it is another.
func (s *Socket) open() error {
	port := s.Port()
	conn, err := s.bind(port)
	if errors.Is(err, unix.EADDRINUSE) && s.wanted == 0 && port != 0 {
		conn, err = s.bind(0)
	}
	if err != nil {
		return fmt.Errorf("listen on UDP port %d: %w", port, explain(port, err))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errors.Join(ErrClosed, conn.Close())
	}
	s.family.Store(int32(conn.family))
	s.port.Store(int32(conn.LocalAddr().(*net.UDPAddr).Port))
	s.conn.Store(conn)
	return nil
}

func (s *Socket) bind(port int) (*Conn, error) {
	config := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var err error
		if e := raw.Control(func(fd uintptr) { err = configure(int(fd)) }); e != nil {
			return e
		}
		return err
	}}
	c, err := config.ListenPacket(context.Background(), "udp", fmt.Sprintf(":%d", port))
	if err != nil {
		return nil, err
	}
	conn, err := newConn(c.(*net.UDPConn), s.offload, &s.counters) // "udp" gives nothing else
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return conn, nil
}

// configure sets the options of a fresh socket. The destination address is indispensable.
func configure(fd int) error {
	family, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	if err != nil {
		return fmt.Errorf("socket family: %w", err)
	}
	if family == unix.AF_INET6 {
		err = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
	} else {
		err = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
	}
	if err != nil {
		return fmt.Errorf("ask for destination addresses: %w", err)
	}
	tune(fd, family)
	return nil
}

// Port returns the port the socket is bound to; while it is not, the one that it had or
// is to have.
func (s *Socket) Port() int { return int(s.port.Load()) }

// pause is how long the port was left alone last. It doubles from firstPause to
// longestPause.
type pause time.Duration

const (
	firstPause   = 50 * time.Millisecond
	longestPause = time.Second
)

// wait waits, and reports false when ended was closed.
func (p *pause) wait(ended <-chan struct{}) bool {
	*p = pause(backoff.Exponential{First: firstPause, Last: longestPause}.After(time.Duration(*p)))
	timer := time.NewTimer(time.Duration(*p))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ended:
		return false
	}
}
