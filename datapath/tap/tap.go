// Package tap opens TAP devices: the evio process's side of a bridge port. What
// the bridge sends out of the port is read here, what is written here enters the
// bridge at the port.
//
// Frames are whole Ethernet frames, untouched, passed in vectors so that an opener
// that moves many of them per system call fits behind the same interface.
package tap

// Device is an open TAP. It disappears from the system when it is closed.
type Device interface {
	// Name is the name of the network device.
	Name() string
	// ReadFrames blocks for at least one frame and puts as many as there are into
	// bufs, their lengths into sizes, and returns how many; sizes is as long as
	// bufs. A buffer must hold more than a frame of the device's MTU with its
	// header and two tags; longer frames, and those that fill a buffer, are dropped and
	// counted. Only one goroutine may read.
	// After Close the error is os.ErrClosed.
	ReadFrames(bufs [][]byte, sizes []int) (n int, err error)
	// WriteFrames writes the frames in order and returns how many were taken.
	// Those the device cannot carry, because of their length, are counted, left
	// out, and count as taken. Any number of goroutines may write.
	WriteFrames(frames [][]byte) (int, error)
	// Stats returns what passed so far.
	Stats() Stats
	// Close wakes a blocked reader. It may be called more than once and at once
	// with everything else.
	Close() error
}

// Stats are counters since the device was opened.
type Stats struct {
	ReadFrames, ReadBytes       uint64
	WrittenFrames, WrittenBytes uint64
	// BadLength counts frames that were too short or too long, either way.
	BadLength uint64
	// Refused counts written frames that the kernel did not take, because it had
	// no room or the device was set down.
	Refused uint64
}
