package tap

import (
	"errors"
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
	name   string
	mtu    int
	file   *os.File
	raw    syscall.RawConn // of the file
	closed atomic.Bool
	close  func() error
	counts counters

	reading reading   // the reader's
	writing sync.Pool // of *writing
}

var _ Device = (*device)(nil)

// reading is a call of ReadFrames. There is one at a time.
type reading struct {
	fill   func(fd uintptr) (done bool) // made once, so that a call allocates nothing
	vector *frame.Vector
	err    error
}

// writing is a call of WriteFrames.
type writing struct {
	run    func(fd uintptr) // made once, so that a call allocates nothing
	frames []frame.Frame
	taken  int
	err    error
}

func newDevice(file *os.File, c Config) (*device, error) {
	raw, err := file.SyscallConn()
	if err != nil {
		return nil, err
	}
	d := &device{name: c.Name, mtu: c.MTU, file: file, raw: raw}
	d.close = sync.OnceValue(func() error {
		d.closed.Store(true)
		return file.Close()
	})
	d.reading.fill = d.fill
	d.writing.New = func() any {
		w := &writing{}
		w.run = func(fd uintptr) { w.taken, w.err = d.write(int(fd), w.frames) }
		return w
	}
	return d, nil
}

func (d *device) Name() string { return d.name }

func (d *device) Stats() Stats { return d.counts.load() }

func (d *device) Close() error { return d.close() }

// ReadFrames implements Device.
func (d *device) ReadFrames(v *frame.Vector) error {
	if len(v.Frames) > 0 {
		return fmt.Errorf("read TAP %s: the vector holds %d frames", d.name, len(v.Frames))
	}
	r := &d.reading
	r.vector, r.err = v, nil
	err := d.raw.Read(r.fill)
	r.vector = nil
	if err == nil {
		err = r.err
	}
	if err == nil {
		return nil
	}
	v.Release()
	return d.wrap("read", err)
}

// fill reads until the device has no more or the vector is full. It reports false if the
// device had nothing.
func (d *device) fill(fd uintptr) bool {
	v := d.reading.vector
	var s Stats
	defer func() { d.counts.add(&s) }()
	for {
		buf := v.Buffer()
		if buf == nil {
			return true
		}
		s.Reads++
		n, err := unix.Read(int(fd), buf[frame.Headroom:])
		switch {
		case err == nil:
			d.take(v, buf, n, &s)
		case errors.Is(err, unix.EINTR):
		case len(v.Frames) > 0: // the error comes again
			return true
		case errors.Is(err, unix.EAGAIN):
			v.Release()
			return false
		default:
			d.reading.err = err
			return true
		}
	}
}

// take adds a frame that was read into a buffer.
func (d *device) take(v *frame.Vector, buf []byte, n int, s *Stats) {
	data := buf[frame.Headroom : frame.Headroom+n]
	// The kernel cuts a frame that does not fit; one that fills the buffer to the last byte may
	// be such.
	if frame.Headroom+n == len(buf) || !fits(data, d.mtu) {
		s.BadLength++
		return
	}
	v.Add(frame.Frame{Data: data})
	s.ReadFrames++
	s.ReadBytes += uint64(n)
}

// WriteFrames implements Device.
func (d *device) WriteFrames(frames []frame.Frame) (int, error) {
	w := d.writing.Get().(*writing)
	w.frames, w.taken, w.err = frames, 0, nil
	err := d.raw.Control(w.run)
	if err == nil {
		err = w.err
	}
	taken := w.taken
	w.frames = nil
	d.writing.Put(w)
	if err != nil {
		return taken, d.wrap("write", err)
	}
	return taken, nil
}

func (d *device) write(fd int, frames []frame.Frame) (taken int, err error) {
	var s Stats
	defer func() { d.counts.add(&s) }()
	for i, f := range frames {
		if !fits(f.Data, d.mtu) {
			s.BadLength++
			continue
		}
		s.Writes++
		n, err := unix.Write(fd, f.Data)
		switch {
		case err == nil:
			s.WrittenFrames++
			s.WrittenBytes += uint64(n)
		case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.ENOBUFS), errors.Is(err, unix.ENOMEM), errors.Is(err, unix.EIO):
			s.Refused++
		case errors.Is(err, unix.EINVAL):
			s.BadLength++
		default:
			return i, err
		}
	}
	return len(frames), nil
}

func (d *device) wrap(operation string, err error) error {
	// What says that a file is closed is no error of package os here.
	if d.closed.Load() {
		return os.ErrClosed
	}
	return fmt.Errorf("%s TAP %s: %w", operation, d.name, err)
}
