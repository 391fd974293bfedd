package udp

import (
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/pion/transport/v5/deadline"
)

// Packet is a datagram with a memory of its own.
type Packet struct {
	Remote netip.AddrPort
	Data   []byte
}

// Inbox is a bounded queue of datagrams with the blocking read of a
// net.PacketConn: one side puts without waiting, the other waits for a
// datagram, its deadline or Close.
type Inbox struct {
	packets  chan Packet
	deadline *deadline.Deadline
	closed   chan struct{}
	once     sync.Once
}

// NewInbox makes a queue for size datagrams.
func NewInbox(size int) *Inbox {
	return &Inbox{
		packets:  make(chan Packet, size), // the bound of the queue; Put drops what exceeds it
		deadline: deadline.New(),
		closed:   make(chan struct{}),
	}
}

// Put copies a datagram into the queue. It returns false, and keeps nothing,
// when the queue is full.
func (i *Inbox) Put(remote netip.AddrPort, data []byte) bool {
	select {
	case i.packets <- Packet{Remote: remote, Data: append([]byte(nil), data...)}:
		return true
	default:
		return false
	}
}

// Get waits for a datagram. It returns os.ErrDeadlineExceeded or net.ErrClosed.
func (i *Inbox) Get() (Packet, error) {
	select {
	case <-i.closed:
		return Packet{}, net.ErrClosed
	case <-i.deadline.Done():
		return Packet{}, os.ErrDeadlineExceeded
	default:
	}
	select {
	case p := <-i.packets:
		return p, nil
	case <-i.deadline.Done():
		return Packet{}, os.ErrDeadlineExceeded
	case <-i.closed:
		return Packet{}, net.ErrClosed
	}
}

// Len returns the number of datagrams that wait.
func (i *Inbox) Len() int { return len(i.packets) }

// SetDeadline wakes Get at t; the zero time means never.
func (i *Inbox) SetDeadline(t time.Time) { i.deadline.Set(t) }

// Close wakes Get for good. It may be called again.
func (i *Inbox) Close() {
	i.once.Do(func() {
		close(i.closed)
		i.deadline.Set(time.Time{}) // its timer would outlive us
	})
}
