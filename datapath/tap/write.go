package tap

import (
	"errors"

	"golang.org/x/sys/unix"

	"evio/datapath/frame"
)

// writing is a call of WriteFrames, with what such calls need.
type writing struct {
	d   *device
	run func(fd uintptr) // made once, so that a call allocates nothing

	frames []frame.Frame
	taken  int
	err    error
	stats  Stats

	header  [headerLen]byte
	vector  [2][]byte
	cutter  frame.Cutter
	segment []byte
}

// WriteFrames implements Device.
func (d *device) WriteFrames(frames []frame.Frame) (int, error) {
	w := d.writing.Get().(*writing)
	w.frames, w.taken, w.err, w.stats = frames, 0, nil, Stats{}
	err := d.raw.Control(w.run)
	d.counts.add(&w.stats)
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

func (w *writing) writeAll(fd uintptr) {
	for i := range w.frames {
		if w.err = w.write(int(fd), &w.frames[i]); w.err != nil {
			return
		}
		w.taken++
	}
}

// write writes a frame, or what it must be cut into.
func (w *writing) write(fd int, f *frame.Frame) error {
	if w.d.offloads.takes(f) {
		return w.writeOne(fd, f)
	}
	l, ok := frame.Parse(f.Data)
	if !ok || !w.cutter.Begin(f, l, longest(f.Data, w.d.mtu)) {
		w.stats.BadOffload += uint64(f.Segments())
		return nil
	}
	if n := w.cutter.Longest(); n > len(w.segment) {
		w.segment = make([]byte, n)
	}
	for more := true; more; {
		var n int
		n, more = w.cutter.Next(w.segment)
		if err := w.writeOne(fd, &frame.Frame{Data: w.segment[:n], Partial: true, Start: f.Start, Offset: f.Offset}); err != nil {
			return err
		}
	}
	return nil
}

// writeOne writes a frame of a kind that the device takes.
func (w *writing) writeOne(fd int, f *frame.Frame) error {
	segments := uint64(f.Segments())
	if !fits(*f, w.d.mtu) {
		w.stats.BadLength += segments
		return nil
	}
	finish := !w.d.offloads.Checksums || f.Kind == frame.Single && w.d.offloads.hides(f.Data)
	if finish && !frame.Finish(f) || w.d.header && !encode(w.header[:], *f) {
		w.stats.BadOffload += segments
		return nil
	}
	w.stats.Writes++
	var err error
	if w.d.header {
		w.vector = [2][]byte{w.header[:], f.Data}
		_, err = unix.Writev(fd, w.vector[:])
	} else {
		_, err = unix.Write(fd, f.Data)
	}
	switch {
	case err == nil:
		w.stats.WrittenFrames++
		w.stats.WrittenBytes += uint64(len(f.Data))
		w.stats.WrittenSegments += segments
		if f.Kind != frame.Single {
			w.stats.WrittenSupers++
		}
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.ENOBUFS), errors.Is(err, unix.ENOMEM), errors.Is(err, unix.EIO):
		w.stats.Refused += segments
	case errors.Is(err, unix.EINVAL) && f.Partial:
		w.stats.BadOffload += segments
	case errors.Is(err, unix.EINVAL):
		w.stats.BadLength += segments
	default:
		return err
	}
	return nil
}
