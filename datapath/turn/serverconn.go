package turn

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/pion/logging"
	"github.com/pion/turn/v5"
	"golang.org/x/sys/unix"
)

const (
	// queueLength bounds the data messages that wait for a stream.
	queueLength = 256
	// maxRequests bounds the requests without an answer. Others wait.
	maxRequests = 32
	// writeTimeout ends a stream that takes no more data.
	writeTimeout = AnswerTimeout
	// streamBuffer is how many bytes of waiting messages are joined into one write.
	streamBuffer = 16 << 10
)

var errQueueFull = errors.New("the TURN server takes data too slowly")

// serverConn carries TURN messages to and from one server over one connection. It is the
// net.PacketConn of pion's client. It ends with close, or when the connection ends.
type serverConn struct {
	conn   net.Conn
	client *turn.Client
	input  *bufio.Reader // of a stream; nil for datagrams
	output chan []byte   // data to a stream; nil for datagrams
	urgent chan []byte   // requests to a stream, which go first; nil for datagrams
	slots  chan struct{} // one for each request without an answer
	answer time.Duration

	signer signer

	tasks  sync.WaitGroup
	once   sync.Once
	cause  error // set before closed is closed
	closed chan struct{}
}

var _ net.PacketConn = (*serverConn)(nil)

// newServerConn starts to write to a connection. The caller has to call read, for answers.
func newServerConn(conn net.Conn, stream bool, answer time.Duration) (*serverConn, error) {
	s := &serverConn{conn: conn, answer: answer, closed: make(chan struct{}), slots: make(chan struct{}, maxRequests)}
	config := &turn.ClientConfig{
		Conn:          s,
		LoggerFactory: &logging.DefaultLoggerFactory{Writer: io.Discard, DefaultLogLevel: logging.LogLevelDisabled},
	}
	if stream {
		s.input = bufio.NewReaderSize(conn, maxMessage)
		s.output = make(chan []byte, queueLength)
		s.urgent = make(chan []byte, maxRequests) // each is there once at most
		config.RTO = 2 * answer                   // a stream loses nothing
	}
	client, err := turn.NewClient(config)
	if err != nil {
		_ = conn.Close() // never used
		return nil, err
	}
	s.client = client
	if stream {
		s.tasks.Go(s.write)
	}
	return s, nil
}

// read hands every message to handle until the connection ends.
func (s *serverConn) read(handle func([]byte)) {
	buffer := make([]byte, maxMessage)
	for {
		n, _, err := s.ReadFrom(buffer)
		switch {
		case err == nil:
			handle(buffer[:n])
		case s.input == nil && errors.Is(err, unix.EMSGSIZE):
			// an ICMP answer to an earlier datagram; no path MTU is probed
		default:
			s.close(err)
			return
		}
	}
}

// ReadFrom implements net.PacketConn. It reads one message, and skips messages of a stream
// that are larger than the buffer.
func (s *serverConn) ReadFrom(buffer []byte) (int, net.Addr, error) {
	if s.input == nil {
		n, err := s.conn.Read(buffer)
		return n, s.conn.RemoteAddr(), err
	}
	n, err := nextMessage(s.input, buffer)
	return n, s.conn.RemoteAddr(), err
}

// nextMessage reads one message of a stream (RFC 8656 section 12.5).
func nextMessage(r *bufio.Reader, buffer []byte) (int, error) {
	for {
		head, err := r.Peek(channelHeader)
		if err != nil {
			return 0, err
		}
		size := int(binary.BigEndian.Uint16(head[2:]))
		switch head[0] >> 6 {
		case 0:
			size += stunHeader
		case 1:
			size = channelHeader + (size+3)&^3
		default:
			return 0, errMessage
		}
		if size <= len(buffer) {
			return io.ReadFull(r, buffer[:size])
		}
		if _, err := r.Discard(size); err != nil {
			return 0, err
		}
	}
}

// WriteTo implements net.PacketConn for pion's requests.
func (s *serverConn) WriteTo(message []byte, _ net.Addr) (int, error) {
	return len(message), s.put(append([]byte(nil), message...), s.urgent)
}

// send sends a data message. It never waits for the server, and keeps the bytes.
func (s *serverConn) send(message []byte) error {
	err := s.put(message, s.output)
	if errors.Is(err, unix.ECONNREFUSED) {
		s.close(err)
	}
	return err
}

// put hands a message to the connection, or to a queue if that is a stream. It does not call
// close: pion calls put with its table locked, and close needs that lock. A request after
// close must fail here, because close has ended only the requests that were in the table
// then.
func (s *serverConn) put(message []byte, queue chan<- []byte) error {
	select {
	case <-s.closed:
		return net.ErrClosed
	default:
	}
	if queue == nil {
		_, err := s.conn.Write(message)
		return err
	}
	select {
	case queue <- message:
		return nil
	default:
		return errQueueFull
	}
}

// write empties the queues of a stream.
func (s *serverConn) write() {
	w := bufio.NewWriterSize(s.conn, streamBuffer)
	for {
		message, ok := s.next()
		if !ok {
			return
		}
		err := errors.Join(s.conn.SetWriteDeadline(time.Now().Add(writeTimeout)), writeAll(w, message))
		if err == nil && len(s.output)+len(s.urgent) == 0 {
			err = w.Flush()
		}
		if err != nil {
			s.close(err)
			return
		}
	}
}

// next waits for a message to a stream: a request if there is one.
func (s *serverConn) next() (message []byte, ok bool) {
	select {
	case message = <-s.urgent:
		return message, true
	default:
	}
	select {
	case message = <-s.urgent:
		return message, true
	case message = <-s.output:
		return message, true
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
