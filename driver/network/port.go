package network

import (
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"evio/datapath/tap"
)

// Pauses before a port is tried to be opened again.
const (
	reopenFirst = 50 * time.Millisecond
	reopenLimit = 2 * time.Second
)

var _ tap.Device = (*port)(nil)

type portConfig struct {
	name, mark string
	mtu        int
	log        *logrus.Entry
	shield     func(device string) // called before anything comes in by the device
	again      func()              // called by the reader after it was opened anew
}

// port is a TAP that its reader opens anew when somebody deletes the device.
type port struct {
	portConfig
	ended chan struct{} // closed by Close

	mu     sync.Mutex // guards closed, and dev against it
	closed bool
	dev    atomic.Pointer[tap.Device]
}

func openPort(c portConfig) (*port, error) {
	p := &port{portConfig: c, ended: make(chan struct{})}
	dev, err := p.open()
	if err != nil {
		return nil, err
	}
	p.dev.Store(&dev)
	return p, nil
}

func (p *port) open() (tap.Device, error) {
	dev, err := tap.Open(p.name, p.mtu)
	if err != nil {
		return nil, err
	}
	p.shield(p.name)
	if err := setMark(p.name, p.mark); err != nil {
		return nil, errors.Join(err, dev.Close())
	}
	return dev, nil
}

func (p *port) current() tap.Device { return *p.dev.Load() }

// Name implements tap.Device.
func (p *port) Name() string { return p.name }

// ReadFrames implements tap.Device. It ends with Close only.
func (p *port) ReadFrames(bufs [][]byte, sizes []int) (int, error) {
	for {
		n, err := p.current().ReadFrames(bufs, sizes)
		if err == nil {
			return n, nil
		}
		if !p.reopen() {
			return 0, os.ErrClosed
		}
	}
}

// WriteFrames implements tap.Device. It fails while the device is gone.
func (p *port) WriteFrames(frames [][]byte) (int, error) { return p.current().WriteFrames(frames) }

// Stats implements tap.Device, since the device was last opened.
func (p *port) Stats() tap.Stats { return p.current().Stats() }

// Close implements tap.Device.
func (p *port) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.closed = true
		close(p.ended)
	}
	return p.current().Close()
}

// renew has the reader open the device anew, of which it does not know that it is gone.
func (p *port) renew() { _ = p.current().Close() } // it is only there to be closed

// reopen opens the device anew, as often as it takes, and reports false if the port was
// closed.
func (p *port) reopen() bool {
	p.renew()
	pause, reason := reopenFirst, ""
	for {
		select {
		case <-p.ended:
			return false
		default:
		}
		dev, err := p.open()
		if err == nil {
			if !p.take(dev) {
				return false
			}
			p.again()
			return true
		}
		if err.Error() != reason {
			reason = err.Error()
			p.log.WithField("port", p.name).WithError(err).Warn("the device of a port was deleted and cannot be made again, trying again")
		}
		select {
		case <-p.ended:
			return false
		case <-time.After(pause):
		}
		pause = min(2*pause, reopenLimit)
	}
}

// take makes a device the port's, unless that was closed meanwhile.
func (p *port) take(dev tap.Device) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		_ = dev.Close() // nobody has used it
		return false
	}
	p.dev.Store(&dev)
	return true
}
