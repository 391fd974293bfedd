package driver

import (
	"errors"
	"fmt"
	"net"
	"sync"
)

// Serve answers Docker on the listener until Close, which closes it. It may be
// called for several listeners at once: the managed plugin's socket and those under
// which the engine finds the driver by its short name.
func (d *Driver) Serve(l net.Listener) error {
	tracked, err := d.conns.track(l)
	if err != nil {
		return err
	}
	err = d.handler.Serve(tracked)
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return fmt.Errorf("serve %s: %w", l.Addr(), err)
}

// conns remembers listeners and connections: the HTTP server of the plugin helpers
// cannot be shut down, and Docker keeps its connections open.
type conns struct {
	mu        sync.Mutex
	stopping  bool // no new listeners
	closed    bool // no new connections
	listeners []net.Listener
	open      map[net.Conn]struct{}
}

func newConns() *conns { return &conns{open: map[net.Conn]struct{}{}} }

func (c *conns) track(l net.Listener) (net.Listener, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopping {
		return nil, errors.Join(errors.New("serve: the driver is closed"), l.Close())
	}
	c.listeners = append(c.listeners, l)
	return &trackedListener{Listener: l, conns: c}, nil
}

func (c *conns) stopListening() error {
	c.mu.Lock()
	c.stopping = true
	listeners := c.listeners
	c.listeners = nil
	c.mu.Unlock()
	var err error
	for _, l := range listeners {
		err = errors.Join(err, l.Close())
	}
	return err
}

func (c *conns) closeAll() error {
	c.mu.Lock()
	c.closed = true
	open := c.open
	c.open = map[net.Conn]struct{}{}
	c.mu.Unlock()
	var err error
	for conn := range open {
		if e := conn.Close(); !errors.Is(e, net.ErrClosed) {
			err = errors.Join(err, e)
		}
	}
	return err
}

type trackedListener struct {
	net.Listener
	conns *conns
}

func (l *trackedListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	tracked := &trackedConn{Conn: conn, conns: l.conns}
	l.conns.mu.Lock()
	closed := l.conns.closed
	if !closed {
		l.conns.open[tracked] = struct{}{}
	}
	l.conns.mu.Unlock()
	if closed {
		return nil, errors.Join(net.ErrClosed, conn.Close())
	}
	return tracked, nil
}

type trackedConn struct {
	net.Conn
	conns *conns
}

func (c *trackedConn) Close() error {
	c.conns.mu.Lock()
	delete(c.conns.open, c)
	c.conns.mu.Unlock()
	return c.Conn.Close()
}
