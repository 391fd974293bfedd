package device

import (
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"evio/datapath/frame"
	"evio/datapath/tap"
	"evio/internal/backoff"
)

// Pauses before a port is tried to be opened again.
const (
	reopenFirst = 50 * time.Millisecond
	reopenLimit = 2 * time.Second
)

var _ tap.Device = (*Port)(nil)

// PortConfig is what a Port is made of.
type PortConfig struct {
	Name, Mark string
	MTU        int // bytes
	Log        *logrus.Entry
	Shield     func(device string) // called before anything comes in by the device
	Again      func(lost bool)     // called by the reader after it was opened again: lost, unless Follow had it do so
	Queue      int                 // frames that the kernel keeps for the reader; 0: tap.DefaultQueue
	// Offloads says what the device is to offload, each time it is opened; nil: nothing.
	Offloads func() tap.Offloads
}

// Port is a TAP that its reader opens again when somebody deletes the device.
type Port struct {
	c     PortConfig
	ended chan struct{} // closed by Close

	mu     sync.Mutex // guards closed, and dev against it
	closed bool
	dev    atomic.Pointer[opened]

	left atomic.Pointer[opened] // the device that Follow has closed
}

// opened is a device that a Port has opened.
type opened struct {
	tap.Device
	wanted tap.Offloads
}

// OpenPort makes the device, marks it and opens it. The port is the caller's to close.
func OpenPort(c PortConfig) (*Port, error) {
	p := &Port{c: c, ended: make(chan struct{})}
	dev, err := p.open()
	if err != nil {
		return nil, err
	}
	p.dev.Store(dev)
	return p, nil
}

func (p *Port) open() (*opened, error) {
	var wanted tap.Offloads
	if p.c.Offloads != nil {
		wanted = p.c.Offloads()
	}
	dev, err := tap.Open(tap.Config{Name: p.c.Name, MTU: p.c.MTU, Queue: p.c.Queue, Offloads: wanted})
	if err != nil {
		return nil, err
	}
	p.c.Shield(p.c.Name)
	if err := SetMark(p.c.Name, p.c.Mark); err != nil {
		return nil, errors.Join(err, dev.Close())
	}
	return &opened{dev, wanted}, nil
}

func (p *Port) current() *opened { return p.dev.Load() }

// Name implements tap.Device.
func (p *Port) Name() string { return p.c.Name }

// ReadFrames implements tap.Device. It ends with Close only.
func (p *Port) ReadFrames(v *frame.Vector) error {
	for {
		if p.current().ReadFrames(v) == nil {
			return nil
		}
		if !p.reopen() {
			return os.ErrClosed
		}
	}
}

// WriteFrames implements tap.Device. It fails while the device is gone.
func (p *Port) WriteFrames(frames []frame.Frame) (int, error) {
	return p.current().WriteFrames(frames)
}

// Offloads implements tap.Device, as of when the device was last opened.
func (p *Port) Offloads() tap.Offloads { return p.current().Offloads() }

// Stats implements tap.Device, since the device was last opened.
func (p *Port) Stats() tap.Stats { return p.current().Stats() }

// Close implements tap.Device.
func (p *Port) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.closed = true
		close(p.ended)
	}
	return p.current().Close()
}

// Follow has the reader open the device again if other offloads were wanted when it was opened
// last.
func (p *Port) Follow(wanted tap.Offloads) {
	if dev := p.current(); wanted != dev.wanted {
		p.left.Store(dev)
		_ = dev.Close() // it is only there to be closed
	}
}

// Renew has the reader open the device again, for whoever found that it is gone: the
// reader does not notice when it was only given another name.
func (p *Port) Renew() { _ = p.current().Close() } // it is only there to be closed

// reopen opens the device again, trying as often as it takes, and reports false if the port was
// closed.
func (p *Port) reopen() bool {
	lost := p.left.Load() != p.current()
	p.Renew()
	pauses := backoff.Exponential{First: reopenFirst, Last: reopenLimit}
	pause, reason := time.Duration(0), ""
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
			p.c.Again(lost)
			return true
		}
		if err.Error() != reason {
			reason = err.Error()
			p.c.Log.WithField("port", p.c.Name).WithError(err).Warn("the device of a port was deleted and cannot be made again, trying again")
		}
		pause = pauses.After(pause)
		select {
		case <-p.ended:
			return false
		case <-time.After(pause):
		}
	}
}

// take makes a device the port's, unless that was closed meanwhile.
func (p *Port) take(dev *opened) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		_ = dev.Close() // nobody has used it
		return false
	}
	p.dev.Store(dev)
	return true
}
