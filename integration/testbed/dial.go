package testbed

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"

	"github.com/vishvananda/netns"
)

// Dial opens a connection from the machine's network. The address has no name in it: names would
// be looked up elsewhere.
func (m *Machine) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if _, err := netip.ParseAddrPort(addr); err != nil {
		return nil, fmt.Errorf("%s: dial %s: %w", m.name, addr, err)
	}
	var conn net.Conn
	err := m.inNetwork(func() (err error) {
		conn, err = (&net.Dialer{}).DialContext(ctx, network, addr)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", m.name, err)
	}
	return conn, nil
}

// inNetwork runs f on a thread that is in the machine's network namespace. A socket stays in the
// namespace in which it was made.
func (m *Machine) inNetwork(f func() error) (err error) {
	if m.dead.Load() {
		return errClosed
	}
	there, err := netns.GetFromPid(m.pid)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, there.Close()) }()
	runtime.LockOSThread()
	home, err := netns.Get()
	if err != nil {
		runtime.UnlockOSThread()
		return err
	}
	defer func() {
		if back := netns.Set(home); back != nil {
			err = errors.Join(err, back) // the thread stays locked, and so ends with its goroutine
		} else {
			runtime.UnlockOSThread()
		}
		err = errors.Join(err, home.Close())
	}()
	if err := netns.Set(there); err != nil {
		return err
	}
	return f()
}
