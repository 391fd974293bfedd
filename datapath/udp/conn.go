package udp

import (
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// idleSenders is how many senders a Conn keeps while nobody sends. Each has 9 KiB.
const idleSenders = 4

// Conn sends and receives in batches by one UDP socket of the kernel, which may be connected.
// Receive is called by one goroutine at a time, everything else by any.
type Conn struct {
	*net.UDPConn
	raw      syscall.RawConn
	family   int
	offloads Offloads // Refused is in refusals
	counters *counters
	refusals refusals
	senders  chan *sender // not in use; what exceeds its capacity is forgotten

	receiver *receiver // made by the first Receive
}

// counters are those of a Conn, or of all that a Socket has had.
type counters struct {
	sends, receives atomic.Uint64 // system calls
	uncut           atomic.Uint64 // runs that the kernel refused to cut
	truncated       atomic.Uint64 // datagrams over MaxDatagram
}

// NewConn takes a connection over, which is closed by closing the Conn.
func NewConn(conn *net.UDPConn, want Offload) (*Conn, error) {
	return newConn(conn, want, new(counters))
}

func newConn(conn *net.UDPConn, want Offload, counted *counters) (*Conn, error) {
	c := &Conn{UDPConn: conn, counters: counted, senders: make(chan *sender, idleSenders)}
	raw, err := control(conn, func(fd int) (err error) {
		if c.family, err = unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN); err != nil {
			return fmt.Errorf("socket family: %w", err)
		}
		c.offloads = probe(fd, want)
		return nil
	})
	if err != nil {
		return nil, err
	}
	c.raw = raw
	return c, nil
}

// sender returns one that is not in use.
func (c *Conn) sender() *sender {
	select {
	case s := <-c.senders:
		return s
	default:
		return newSender(&c.counters.sends)
	}
}

func (c *Conn) forget(s *sender) {
	select {
	case c.senders <- s:
	default:
	}
}

// Receive waits for datagrams and returns those that are there, at most 16 runs. Vector and
// bytes are valid until the next call. An error may be about a single
// datagram, such as an ICMP answer to an earlier one, and say nothing about the next call.
//
// Datagrams over MaxDatagram are left out and counted. What the receiver may do to the bytes
// is said at Datagram.
func (c *Conn) Receive() ([]Datagram, error) {
	if c.receiver == nil {
		c.receiver = newReceiver(&c.counters.receives)
	}
	vector, truncated, err := c.receiver.receive(c.raw)
	if truncated > 0 {
		c.counters.truncated.Add(truncated)
	}
	return vector, err
}

// SendRuns sends the datagrams of some runs to one address, or to the peer of a connected
// socket if the address is the zero one, from a source that may be the zero one. It waits
// only for room in the local queue, and keeps none of the bytes.
//
// The kernel cuts the runs. Where it refuses that, they are sent datagram by datagram, which
// is remembered for the route for a minute.
//
// It returns how many datagrams the kernel has taken, in the order of the runs. An error ends
// it; the datagram that it is about and those after it were not sent.
func (c *Conn) SendRuns(source Source, to netip.AddrPort, runs []Run) (sent int, err error) {
	s := c.sender()
	defer c.forget(s)
	if err := s.begin(c.family, source, to); err != nil {
		return 0, err
	}
	by := route{source.Addr, to.Addr()}
	uncut := 1 // runs of datagrams of this size, or of a larger one, are not left to the kernel
	if c.offloads.Send.On {
		uncut = c.refusals.smallest(by)
	}
	sent, refused, err := s.send(c.raw, runs, uncut)
	if refused.size > 0 {
		c.counters.uncut.Add(1)
		c.refusals.note(by, refused)
	}
	return sent, err
}

// Overflow returns how often the buffer of the kernel was full when something came, as it was
// known at the last Receive. The kernel counts what it has merged once, however many datagrams
// that is. Overflow is called by the goroutine that calls Receive.
func (c *Conn) Overflow() uint64 {
	if c.receiver == nil {
		return 0
	}
	return c.receiver.overflow
}

// Truncated returns how many datagrams were left out so far because they are over MaxDatagram.
func (c *Conn) Truncated() uint64 { return c.counters.truncated.Load() }

// Offloads returns what is left to the kernel.
func (c *Conn) Offloads() Offloads {
	o := c.offloads
	o.Refused = c.refusals.len()
	return o
}
