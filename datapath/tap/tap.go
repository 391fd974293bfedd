// Package tap opens TAP devices: the evio process's side of a bridge port. What
// the bridge sends out of the port is read here, what is written here enters the
// bridge at the port.
//
// Frames are whole Ethernet frames. They pass in vectors, so that a read takes all that
// wait at the device.
package tap

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"evio/datapath/frame"
	"evio/datapath/netdev"
)

// Device is an open TAP. It disappears from the system when it is closed.
type Device interface {
	// Name is the name of the network device.
	Name() string
	// ReadFrames blocks for at least one frame and puts all that wait into v, until that is
	// full. v must be empty. It has no memory while ReadFrames waits. Frames that are longer
	// than the MTU with its header and two tags, or that would be cut into such, are dropped
	// and counted; a super-frame of TCP is to be cut smaller in place of that. Only one
	// goroutine may read. After Close the error is os.ErrClosed.
	ReadFrames(v *frame.Vector) error
	// WriteFrames writes the frames in order and returns how many were taken. What the
	// device does not offload is done before: super-frames are cut, checksums finished in
	// place, which their frames say then. Frames that it cannot carry are counted, left out, and count as taken. It keeps
	// nothing of the frames. Any number of goroutines may write.
	WriteFrames(frames []frame.Frame) (int, error)
	// Offloads returns what the device offloads, and why not more.
	Offloads() Offloads
	// Stats returns what passed so far.
	Stats() Stats
	// Close wakes a blocked reader. It may be called more than once and at once
	// with everything else.
	Close() error
}

// Config says what device to open.
type Config struct {
	// Name is the name of the device, at most netdev.MaxName bytes. No device may have it.
	Name string
	// MTU is in bytes, netdev.MinMTU to netdev.MaxMTU.
	MTU int
	// Queue is how many frames the kernel keeps for the reader; 0: DefaultQueue.
	Queue int
	// Offloads are wanted. Why says why one is not. With none, frames come and go as they are
	// on a wire.
	Offloads Offloads
}

// DefaultQueue has room for the burst of an origin of floods, and some more.
const DefaultQueue = 2000

// Stats are counters since the device was opened.
type Stats struct {
	// Reads and Writes are system calls, including reads that found nothing.
	Reads, Writes               uint64
	ReadFrames, ReadBytes       uint64
	WrittenFrames, WrittenBytes uint64
	// Super-frames are among the frames. Segments are what frames become on a wire; any other
	// frame is one.
	ReadSupers, ReadSegments       uint64
	WrittenSupers, WrittenSegments uint64
	// What follows counts segments where what was lost is a super-frame.

	// BadLength counts frames that were too short or too long, either way.
	BadLength uint64
	// BadOffload counts frames that do not match what the kernel said of them, and those that
	// it does not take as they are and that cannot be cut or finished here.
	BadOffload uint64
	// Refused counts written frames that the kernel did not take, because it had
	// no room or the device was set down.
	Refused uint64
}

// Open makes a TAP, sets its MTU and its queue, keeps the host from speaking on it and sets
// it up.
func Open(c Config) (Device, error) {
	if c.Queue == 0 {
		c.Queue = DefaultQueue
	}
	d, err := openDevice(c)
	if err != nil {
		return nil, fmt.Errorf("open TAP %s: %w", c.Name, err)
	}
	return d, nil
}

func openDevice(c Config) (*device, error) {
	// All is checked before: the kernel cuts a long name, and would open a device that is
	// there.
	if err := errors.Join(netdev.CheckName(c.Name), netdev.CheckMTU(c.MTU)); err != nil {
		return nil, err
	}
	index, err := netdev.Index(c.Name)
	if err == nil && index != 0 {
		err = fmt.Errorf("a device of this name is there: %w", os.ErrExist)
	}
	if err != nil {
		return nil, err
	}
	if err := Check(); err != nil {
		return nil, err
	}
	file, header, err := openFile(&c)
	if err != nil {
		return nil, err
	}
	d, err := newDevice(file, header, c)
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	if err := errors.Join(netdev.SetQueue(c.Name, c.Queue), netdev.SetUp(c.Name, c.MTU)); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// openFile opens the TAP of a description, in which it writes what is offloaded. With header
// each frame has one of the kernel's in front of it.
func openFile(c *Config) (file *os.File, header bool, err error) {
	var refused error
	if c.Offloads.any() {
		file, got, err := openOffloading(c.Name, c.Offloads)
		if err == nil {
			c.Offloads = got
			return file, true, nil
		}
		refused = err
	}
	file, err = openWater(c.Name)
	if err != nil {
		return nil, false, errors.Join(refused, err)
	}
	if refused != nil {
		c.Offloads = Offloads{Why: refused.Error()}
	}
	return file, false, nil
}

// control is the file by which TAPs are made.
const control = "/dev/net/tun"

// Check says in one sentence why no TAP can be opened here and what to do; nil if one can.
func Check() error {
	f, err := os.OpenFile(control, os.O_RDWR, 0)
	switch {
	case err == nil:
		return f.Close()
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return fmt.Errorf("%w: this process needs the device and CAP_NET_ADMIN, which the managed plugin has: install it anew and accept its privileges", err)
	default:
		return fmt.Errorf("%w: load the kernel's module on the host with modprobe tun, and enable the plugin again", err)
	}
}
