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
	// queueLength bounds the data that wait for a stream.
	queueLength = 256
	// maxRequests bounds the requests without an answer; others wait.
	maxRequests = 32
	// writeTimeout ends a stream that takes nothing any more.
	writeTimeout = AnswerTimeout
	// streamBuffer joins what waits into one write.
	streamBuffer = 16 << 10
)

var errQueueFull = errors.New("the TURN server takes data too slowly")

// link carries TURN messages to and from one server over one connection. It is
// the net.PacketConn of pion's client. It ends with close, or by itself when
// the connection does.
type link struct {
	conn   net.Conn
	client *turn.Client
	input  *bufio.Reader // of a stream; nil for datagrams
	output chan []byte   // data to a stream; nil for datagrams
	urgent chan []byte   // requests to a stream, which go first; nil for datagrams
	places chan struct{} // of requests without an answer
	answer time.Duration

	signer signer

	tasks  sync.WaitGroup
	once   sync.Once
	cause  error // set before closed is closed
	closed chan struct{}
}

var _ net.PacketConn = (*link)(nil)

// newLink begins to write to a connection; read has to be called for answers.
func newLink(conn net.Conn, stream bool, answer time.Duration) (*link, error) {
	l := &link{conn: conn, answer: answer, closed: make(chan struct{}), places: make(chan struct{}, maxRequests)}
	config := &turn.ClientConfig{
		Conn:          l,
		LoggerFactory: &logging.DefaultLoggerFactory{Writer: io.Discard, DefaultLogLevel: logging.LogLevelDisabled},
	}
	if stream {
		l.input = bufio.NewReaderSize(conn, maxMessage)
		l.output = make(chan []byte, queueLength)
		l.urgent = make(chan []byte, maxRequests) // each is there once at most
		config.RTO = 2 * answer                   // a stream loses nothing
	}
	client, err := turn.NewClient(config)
	if err != nil {
		_ = conn.Close() // never used
		return nil, err
	}
	l.client = client
	if stream {
		l.tasks.Go(l.write)
	}
	return l, nil
}

// read hands every message to handle until the link ends.
func (l *link) read(handle func([]byte)) {
	buffer := make([]byte, maxMessage)
	for {
		n, _, err := l.ReadFrom(buffer)
		switch {
		case err == nil:
			handle(buffer[:n])
		case l.input == nil && errors.Is(err, unix.EMSGSIZE):
			// an ICMP answer to an earlier datagram; no path MTU is probed
		default:
			l.close(err)
			return
		}
	}
}

// ReadFrom implements net.PacketConn: it reads one message. Of a stream it skips
// those that the buffer does not hold.
func (l *link) ReadFrom(buffer []byte) (int, net.Addr, error) {
	if l.input == nil {
		n, err := l.conn.Read(buffer)
		return n, l.conn.RemoteAddr(), err
	}
	n, err := nextMessage(l.input, buffer)
	return n, l.conn.RemoteAddr(), err
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
func (l *link) WriteTo(message []byte, _ net.Addr) (int, error) {
	return len(message), l.put(append([]byte(nil), message...), l.urgent)
}

// send sends data, which never waits for the server. It keeps the bytes.
func (l *link) send(message []byte) error {
	err := l.put(message, l.output)
	if errors.Is(err, unix.ECONNREFUSED) {
		l.close(err)
	}
	return err
}

// put hands a message to the connection, or to a queue if it is a stream. It
// does not end the link: pion calls it with its table locked, which the end
// needs. A request on a link that has ended must fail here, since its end has
// told pion's table before the request was in it.
func (l *link) put(message []byte, queue chan<- []byte) error {
	select {
	case <-l.closed:
		return net.ErrClosed
	default:
	}
	if queue == nil {
		_, err := l.conn.Write(message)
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
func (l *link) write() {
	w := bufio.NewWriterSize(l.conn, streamBuffer)
	for {
		message, ok := l.next()
		if !ok {
			return
		}
		err := errors.Join(l.conn.SetWriteDeadline(time.Now().Add(writeTimeout)), writeAll(w, message))
		if err == nil && len(l.output)+len(l.urgent) == 0 {
			err = w.Flush()
		}
		if err != nil {
			l.close(err)
			return
		}
	}
}

// next waits for a message to a stream: a request if there is one.
func (l *link) next() (message []byte, ok bool) {
	select {
	case message = <-l.urgent:
		return message, true
	default:
	}
	select {
	case message = <-l.urgent:
		return message, true
	case message = <-l.output:
		return message, true
	case <-l.closed:
		return nil, false
	}
}

func writeAll(w io.Writer, b []byte) error {
	_, err := w.Write(b)
	return err
}

// close ends the link for a cause, the first of which counts.
func (l *link) close(cause error) {
	l.once.Do(func() {
		l.cause = cause
		close(l.closed)
		_ = l.conn.Close() // nothing is expected of it any more
		l.client.Close()
	})
}

// Close implements net.PacketConn.
func (l *link) Close() error {
	l.close(net.ErrClosed)
	return nil
}

// LocalAddr implements net.PacketConn.
func (l *link) LocalAddr() net.Addr { return l.conn.LocalAddr() }

// SetDeadline implements net.PacketConn.
func (l *link) SetDeadline(t time.Time) error { return l.conn.SetDeadline(t) }

// SetReadDeadline implements net.PacketConn.
func (l *link) SetReadDeadline(t time.Time) error { return l.conn.SetReadDeadline(t) }

// SetWriteDeadline implements net.PacketConn.
func (l *link) SetWriteDeadline(t time.Time) error { return l.conn.SetWriteDeadline(t) }
