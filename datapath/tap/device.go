package tap

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"evio/datapath/frame"
)

// device is a TAP whose descriptor does not block.
type device struct {
	name     string
	mtu      int
	header   bool // of the kernel's, in front of each frame
	offloads Offloads

	raw    syscall.RawConn
	closed atomic.Bool
	close  func() error
	counts counters

	reading reading   // the reader's
	writing sync.Pool // of *writing
}

var _ Device = (*device)(nil)

func newDevice(file *os.File, header bool, c Config) (*device, error) {
	raw, err := file.SyscallConn()
	if err != nil {
		return nil, err
	}
	d := &device{name: c.Name, mtu: c.MTU, header: header, offloads: c.Offloads, raw: raw}
	d.close = sync.OnceValue(func() error {
		d.closed.Store(true)
		return file.Close()
	})
	d.reading.read, d.reading.fill = unix.Read, d.fill
	d.writing.New = func() any {
		w := &writing{d: d}
		w.run = w.writeAll
		return w
	}
	return d, nil
}

func (d *device) Name() string { return d.name }

func (d *device) Offloads() Offloads { return d.offloads }

func (d *device) Stats() Stats { return d.counts.load() }

func (d *device) Close() error { return d.close() }

// takes reports whether a frame need not be cut.
func (o Offloads) takes(f *frame.Frame) bool {
	switch f.Kind {
	case frame.TCP4, frame.TCP6:
		return o.TCP && !o.hides(f.Data)
	case frame.UDP:
		return o.UDP && !o.hides(f.Data)
	default:
		return true
	}
}

// hides reports whether the reader does not look behind the tags of a frame.
func (o Offloads) hides(data []byte) bool { return o.OneTag && tags(data) > 1 }

func (d *device) wrap(operation string, err error) error {
	// What says that a file is closed is no error of package os here.
	if d.closed.Load() {
		return os.ErrClosed
	}
	return fmt.Errorf("%s TAP %s: %w", operation, d.name, err)
}
