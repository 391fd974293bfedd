package udp

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// ErrClosed is returned by Run, Send and SendRuns after Close.
var ErrClosed = errors.New("UDP socket is closed")

// ErrNotOpen is returned by Send and SendRuns while the port cannot be had.
var ErrNotOpen = errors.New("UDP socket is not open")

// Stats counts the socket's traffic.
type Stats struct {
	Received  map[string]uint64 `json:"received"`  // by class
	Sent      map[string]uint64 `json:"sent"`      // by class
	Truncated uint64            `json:"truncated"` // over MaxDatagram
	Overflow  uint64            `json:"overflow"`  // found the kernel's buffer full; datagrams that it has merged count once

	SendCalls    uint64 `json:"send_calls"`    // system calls that send, with those that found no room
	ReceiveCalls uint64 `json:"receive_calls"` // those that receive, with those that found nothing
	Uncut        uint64 `json:"uncut"`         // runs that were sent again because the kernel did not cut them
}

// Socket is a UDP socket on all addresses of both families. It lives longer than what the
// kernel has for it: a port that cannot be had is asked for again, and one that fails is
// opened anew, see Run.
type Socket struct {
	wanted  int // the port asked for
	offload Offload
	conn    atomic.Pointer[Conn]
	family  atomic.Int32
	port    atomic.Int32 // bound at present, or last

	received, sent [Classes]atomic.Uint64
	counters       counters
	overflow       atomic.Uint64
	overflowBefore uint64 // what earlier sockets of the kernel have counted; of Run

	mu     sync.Mutex // guards closed, and conn against it
	closed bool
	ended  chan struct{} // closed by Close
}

// Source returns what Send needs to send from a local address. The zero Addr
// leaves the choice to the kernel.
func (s *Socket) Source(local netip.Addr) Source { return newSource(int(s.family.Load()), local) }

// Run delivers datagrams until Close and returns ErrClosed then: each by itself, whatever
// the kernel has merged. The vector and the bytes in it are valid during the call of deliver
// only, which may change bytes as Datagram says.
//
// A port that cannot be had is asked for again, after a second at most. A socket that fails
// is opened anew, at the port that it had. Run tells changed of each reason why there is no
// socket, once, and then with nil that there is one. Both are called from its goroutine.
func (s *Socket) Run(deliver func([]Datagram), changed func(error)) error {
	var pause pause
	told := ""
	for {
		conn := s.conn.Load()
		if conn == nil {
			if err := s.open(); err != nil {
				if errors.Is(err, ErrClosed) {
					return err
				}
				if err.Error() != told {
					told = err.Error()
					changed(err)
				}
				if !pause.wait(s.ended) {
					return ErrClosed
				}
				continue
			}
			if told != "" {
				told = ""
				changed(nil)
			}
			continue
		}
		began := time.Now()
		err := s.read(conn, deliver)
		if errors.Is(err, ErrClosed) {
			return err
		}
		s.conn.Store(nil)
		_ = conn.Close() // it has failed
		s.overflowBefore = s.overflow.Load()
		told = err.Error()
		changed(err)
		if time.Since(began) > longestPause {
			pause = 0 // it has worked
		}
		if !pause.wait(s.ended) {
			return ErrClosed
		}
	}
}

// read delivers what comes by one socket of the kernel until that fails or is closed.
func (s *Socket) read(conn *Conn, deliver func([]Datagram)) error {
	for {
		vector, err := conn.Receive()
		switch {
		case s.isClosed():
			return ErrClosed
		case err != nil:
			if transient(err) {
				continue
			}
			return fmt.Errorf("receive from UDP port %d: %w", s.Port(), err)
		}
		s.overflow.Store(s.overflowBefore + conn.Overflow())
		for i := range vector {
			s.received[Classify(vector[i].Data)].Add(1)
		}
		deliver(vector)
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
	conn := s.conn.Load()
	if conn == nil {
		return s.sendError(remote, ErrNotOpen)
	}
	s.counters.sends.Add(1)
	_, _, err := conn.WriteMsgUDPAddrPort(datagram, source.control, remote)
	if err != nil {
		return s.sendError(remote, err)
	}
	s.sent[Classify(datagram)].Add(1)
	return nil
}

// SendRuns sends the datagrams of runs, see Conn.SendRuns.
func (s *Socket) SendRuns(source Source, remote netip.AddrPort, runs []Run) (sent int, err error) {
	conn := s.conn.Load()
	if conn == nil {
		return 0, s.sendError(remote, ErrNotOpen)
	}
	sent, err = conn.SendRuns(source, remote, runs)
	s.countSent(runs, sent)
	if err != nil {
		return sent, s.sendError(remote, err)
	}
	return sent, nil
}

func (s *Socket) sendError(remote netip.AddrPort, err error) error {
	if s.isClosed() {
		return ErrClosed
	}
	return fmt.Errorf("send to %s: %w", remote, err)
}

// countSent counts the first n datagrams of runs.
func (s *Socket) countSent(runs []Run, n int) {
	var classes [Classes]uint64
	for _, r := range runs {
		for datagram := range r.Datagrams() {
			if n == 0 {
				break
			}
			classes[Classify(datagram)]++
			n--
		}
	}
	for class, count := range classes {
		if count > 0 {
			s.sent[class].Add(count)
		}
	}
}

// Offloads returns what is left to the kernel.
func (s *Socket) Offloads() Offloads {
	if conn := s.conn.Load(); conn != nil {
		return conn.Offloads()
	}
	return Offloads{Send: OffloadState{Reason: notOpen}, Receive: OffloadState{Reason: notOpen}}
}

// Stats returns the counters.
func (s *Socket) Stats() Stats {
	stats := Stats{
		Received:  make(map[string]uint64),
		Sent:      make(map[string]uint64),
		Truncated: s.counters.truncated.Load(),
		Overflow:  s.overflow.Load(),

		SendCalls:    s.counters.sends.Load(),
		ReceiveCalls: s.counters.receives.Load(),
		Uncut:        s.counters.uncut.Load(),
	}
	for class := range Classes {
		stats.Received[class.String()] = s.received[class].Load()
		stats.Sent[class.String()] = s.sent[class].Load()
	}
	return stats
}

// Close releases the port and ends Run. It may be called again.
func (s *Socket) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	close(s.ended)
	conn := s.conn.Load()
	if conn == nil {
		return nil
	}
	if err := conn.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

func (s *Socket) isClosed() bool {
	select {
	case <-s.ended:
		return true
	default:
		return false
	}
}
