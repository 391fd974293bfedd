package tap

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"evio/datapath/frame"
)

// reading is a call of ReadFrames. There is one at a time.
type reading struct {
	read   func(fd int, b []byte) (int, error) // unix.Read
	fill   func(fd uintptr) (done bool)        // made once, so that a call allocates nothing
	vector *frame.Vector
	err    error
}

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
		if !d.header {
			buf = buf[frame.Headroom:]
		}
		s.Reads++
		n, err := d.reading.read(int(fd), buf)
		switch {
		case err == nil:
			d.take(v, buf, n, &s)
		case errors.Is(err, unix.EINTR):
		case d.header && errors.Is(err, unix.EINVAL): // a frame is gone, of a kind that the header has no word for
			s.BadOffload++
		case len(v.Frames) > 0: // an error comes again
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
	// The kernel cuts a frame that does not fit; one that fills the buffer to the last byte may
	// be such.
	if n == len(buf) {
		s.BadLength++
		return
	}
	f := frame.Frame{Data: buf[:n]}
	if d.header {
		var known bool
		if f, known = decode(buf[:min(n, headerLen)], buf[min(n, headerLen):n]); !known {
			s.BadOffload++
			return
		}
		shrink(&f, d.mtu)
	}
	if !fits(f, d.mtu) {
		s.BadLength += uint64(f.Segments())
		return
	}
	v.Add(f)
	s.ReadFrames++
	s.ReadBytes += uint64(len(f.Data))
	s.ReadSegments += uint64(f.Segments())
	if f.Kind != frame.Single {
		s.ReadSupers++
	}
}
