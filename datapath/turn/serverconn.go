package turn

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/logging"
	"github.com/pion/turn/v5"
	"golang.org/x/sys/unix"

	"evio/datapath/udp"
)

const (
	// queueLength and queueBytes bound the data that waits for a stream: how often something
	// was sent, and how much.
	queueLength = 256
	queueBytes  = 512 << 10
	// idleOutgoing is how many of those are kept while nothing is sent. Each may have 64 KiB.
	idleOutgoing = 4
	// maxRequests bounds the requests without an answer. Others wait.
	maxRequests = 32
	// writeTimeout ends a stream that takes no more data.
	writeTimeout = AnswerTimeout
	// joinedWrite is how many bytes of waiting messages are joined into one write.
	joinedWrite = 16 << 10
)

var errQueueFull = errors.New("the TURN server takes data too slowly")

// serverConn carries TURN messages to and from one server over one connection. It is the
// net.PacketConn of pion's client. It ends with close, or when the connection ends.
type serverConn struct {
	conn   net.Conn
	client *turn.Client
	batch  *udp.Conn      // conn, if it is one by UDP; nil for a stream
	input  *stream        // nil for datagrams
	output chan *outgoing // data to a stream
	urgent chan *outgoing // requests to a stream, which go first
	queued atomic.Int64   // bytes in both
	unused chan *outgoing // what exceeds its capacity is forgotten
	slots  chan struct{}  // one for each request without an answer
	answer time.Duration

	signer signer

	tasks  sync.WaitGroup
	once   sync.Once
	cause  error // set before closed is closed
	closed chan struct{}
}

var _ net.PacketConn = (*serverConn)(nil)

// newServerConn starts to write to a connection: by UDP if it is a *net.UDPConn, and otherwise
// a stream. The caller has to call read, for answers.
func newServerConn(conn net.Conn, offload udp.Offload, answer time.Duration) (_ *serverConn, err error) {
	s := &serverConn{
		conn: conn, answer: answer, closed: make(chan struct{}), slots: make(chan struct{}, maxRequests),
		unused: make(chan *outgoing, idleOutgoing),
	}
	defer func() {
		if err != nil {
			_ = conn.Close() // never used
		}
	}()
	config := &turn.ClientConfig{
		Conn:          s,
		LoggerFactory: &logging.DefaultLoggerFactory{Writer: io.Discard, DefaultLogLevel: logging.LogLevelDisabled},
	}
	if datagrams, ok := conn.(*net.UDPConn); ok {
		if s.batch, err = udp.NewConn(datagrams, offload); err != nil {
			return nil, err
		}
	} else {
		s.input = new(stream)
		s.output = make(chan *outgoing, queueLength)
		s.urgent = make(chan *outgoing, maxRequests) // each is there once at most
		config.RTO = 2 * answer                      // a stream loses nothing
	}
	if s.client, err = turn.NewClient(config); err != nil {
		return nil, err
	}
	if s.input != nil {
		s.tasks.Go(s.write)
	}
	return s, nil
}

// read hands messages to handle until the connection ends: all that have come together, and
// how many were lost since the last time.
func (s *serverConn) read(handle func(messages []udp.Datagram, lost uint64)) {
	var before uint64
	for {
		messages, err := s.receive()
		if lost := s.lost(); len(messages) > 0 || lost > before {
			handle(messages, lost-before)
			before = lost
		}
		switch {
		case err == nil:
		case s.batch != nil && errors.Is(err, unix.EMSGSIZE):
			// an ICMP answer to an earlier datagram; no path MTU is probed
		default:
			s.close(err)
			return
		}
	}
}

func (s *serverConn) receive() ([]udp.Datagram, error) {
	if s.batch != nil {
		return s.batch.Receive()
	}
	return s.input.receive(s.conn)
}

// lost returns how many messages were lost so far, because they were too large or found the
// kernel's buffer full.
func (s *serverConn) lost() uint64 {
	if s.batch != nil {
		return s.batch.Overflow() + s.batch.Truncated()
	}
	return s.input.skipped
}

// ReadFrom implements net.PacketConn. Messages are read by read alone, and pion is handed the
// answers among them.
func (s *serverConn) ReadFrom([]byte) (int, net.Addr, error) { return 0, nil, net.ErrClosed }

// WriteTo implements net.PacketConn for pion's requests. It does not call close: pion calls it
// with its table locked, and close needs that lock. A request after close must fail here,
// because close has ended only the requests that were in the table then.
func (s *serverConn) WriteTo(message []byte, _ net.Addr) (int, error) {
	switch {
	case s.isClosed():
		return 0, net.ErrClosed
	case s.batch != nil:
		return s.conn.Write(message)
	default:
		return len(message), s.put(&outgoing{bytes: slices.Clone(message)}, s.urgent)
	}
}

// compose returns an empty outgoing, which goes to send or forget.
func (s *serverConn) compose() *outgoing {
	select {
	case o := <-s.unused:
		o.reset()
		return o
	default:
		return new(outgoing)
	}
}

// forget takes an outgoing that is not needed any more.
func (s *serverConn) forget(o *outgoing) {
	select {
	case s.unused <- o:
	default:
	}
}

// send sends data messages and takes them. It never waits for the server. It returns how many
// have gone; an error is about the next one.
func (s *serverConn) send(o *outgoing) (sent int, err error) {
	switch {
	case o.count == 0:
	case s.isClosed():
		err = net.ErrClosed
	case s.batch != nil:
		sent, err = s.batch.SendRuns(udp.Source{}, netip.AddrPort{}, o.runs)
	case s.queued.Load() >= queueBytes:
		err = errQueueFull
	default:
		count := o.count // before others have it
		if err = s.put(o, s.output); err == nil {
			return count, nil
		}
	}
	s.forget(o)
	if errors.Is(err, unix.ECONNREFUSED) {
		s.close(err)
	}
	return sent, err
}

// put hands messages to a queue of a stream.
func (s *serverConn) put(o *outgoing, queue chan<- *outgoing) error {
	size := int64(len(o.bytes))
	s.queued.Add(size)
	select {
	case queue <- o:
		return nil
	default:
		s.queued.Add(-size)
		return errQueueFull
	}
}

// write empties the queues of a stream.
func (s *serverConn) write() {
	w := bufio.NewWriterSize(s.conn, joinedWrite)
	for {
		o, ok := s.next()
		if !ok {
			return
		}
		err := errors.Join(s.conn.SetWriteDeadline(time.Now().Add(writeTimeout)), writeAll(w, o.bytes))
		s.queued.Add(-int64(len(o.bytes)))
		s.forget(o)
		if err == nil && len(s.output)+len(s.urgent) == 0 {
			err = w.Flush()
		}
		if err != nil {
			s.close(err)
			return
		}
	}
}

// next waits for messages to a stream: a request if there is one.
func (s *serverConn) next() (o *outgoing, ok bool) {
	select {
	case o = <-s.urgent:
		return o, true
	default:
	}
	select {
	case o = <-s.urgent:
		return o, true
	case o = <-s.output:
		return o, true
	case <-s.closed:
		return nil, false
	}
}

func writeAll(w io.Writer, b []byte) error {
	_, err := w.Write(b)
	return err
}

// close ends the connection for a cause. The first cause counts.
func (s *serverConn) close(cause error) {
	s.once.Do(func() {
		s.cause = cause
		close(s.closed)
		_ = s.conn.Close() // nothing more is expected of it
		s.client.Close()
	})
}

func (s *serverConn) isClosed() bool {
	select {
	case <-s.closed:
		return true
	default:
		return false
	}
}

// Close implements net.PacketConn.
func (s *serverConn) Close() error {
	s.close(net.ErrClosed)
	return nil
}

// LocalAddr implements net.PacketConn.
func (s *serverConn) LocalAddr() net.Addr { return s.conn.LocalAddr() }

// SetDeadline implements net.PacketConn.
func (s *serverConn) SetDeadline(t time.Time) error { return s.conn.SetDeadline(t) }

// SetReadDeadline implements net.PacketConn.
func (s *serverConn) SetReadDeadline(t time.Time) error { return s.conn.SetReadDeadline(t) }

// SetWriteDeadline implements net.PacketConn.
func (s *serverConn) SetWriteDeadline(t time.Time) error { return s.conn.SetWriteDeadline(t) }
