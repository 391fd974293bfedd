package signal

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// pipeBuffer is how much one direction of a pipe holds, as a socket does. net.Pipe
// holds nothing, and two ends of TLS that write at once would wait for each other.
const pipeBuffer = 64 << 10

// half is one direction of a pipe.
type half struct {
	mu       sync.Mutex
	changed  sync.Cond
	buf      []byte
	closed   bool
	all      []byte // everything that was written
	deadline [2]time.Time
}

const (
	reading = iota
	writing
)

func newHalf() *half {
	h := &half{}
	h.changed.L = &h.mu
	return h
}

func (h *half) setDeadline(way int, t time.Time) {
	h.mu.Lock()
	h.deadline[way] = t
	h.mu.Unlock()
	if !t.IsZero() {
		time.AfterFunc(time.Until(t), h.changed.Broadcast)
	}
	h.changed.Broadcast()
}

func (h *half) late(way int) bool {
	d := h.deadline[way]
	return !d.IsZero() && !time.Now().Before(d)
}

func (h *half) read(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for len(h.buf) == 0 {
		switch {
		case h.closed:
			return 0, io.EOF
		case h.late(reading):
			return 0, os.ErrDeadlineExceeded
		}
		h.changed.Wait()
	}
	n := copy(p, h.buf)
	h.buf = h.buf[n:]
	h.changed.Broadcast()
	return n, nil
}

func (h *half) write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	done := 0
	for done < len(p) {
		switch {
		case h.closed:
			return done, io.ErrClosedPipe
		case h.late(writing):
			return done, os.ErrDeadlineExceeded
		case len(h.buf) == pipeBuffer:
			h.changed.Wait()
			continue
		}
		n := min(len(p)-done, pipeBuffer-len(h.buf))
		h.buf = append(h.buf, p[done:done+n]...)
		h.all = append(h.all, p[done:done+n]...)
		done += n
		h.changed.Broadcast()
	}
	return done, nil
}

func (h *half) close() {
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	h.changed.Broadcast()
}

func (h *half) written() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return string(h.all)
}

// pipeConn is one end of a pipe.
type pipeConn struct {
	in, out *half
}

var _ net.Conn = (*pipeConn)(nil)

func newPipe() (a, b *pipeConn) {
	x, y := newHalf(), newHalf()
	return &pipeConn{x, y}, &pipeConn{y, x}
}

func (c *pipeConn) Read(p []byte) (int, error)  { return c.in.read(p) }
func (c *pipeConn) Write(p []byte) (int, error) { return c.out.write(p) }
func (c *pipeConn) LocalAddr() net.Addr         { return pipeAddr{} }
func (c *pipeConn) RemoteAddr() net.Addr        { return pipeAddr{} }

func (c *pipeConn) Close() error {
	c.in.close()
	c.out.close()
	return nil
}

func (c *pipeConn) SetReadDeadline(t time.Time) error {
	c.in.setDeadline(reading, t)
	return nil
}

func (c *pipeConn) SetWriteDeadline(t time.Time) error {
	c.out.setDeadline(writing, t)
	return nil
}

func (c *pipeConn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "pipe" }
