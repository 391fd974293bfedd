package tap

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"

	"github.com/songgao/water"
	"golang.org/x/sys/unix"

	"evio/datapath/netdev"
)

const (
	minFrame = 14 // an Ethernet header
	tagLen   = 4
	maxTags  = 2
)

// device is a TAP that moves one frame per system call.
type device struct {
	name string
	file *os.File
	mtu  int

	readFrames, readBytes       atomic.Uint64
	writtenFrames, writtenBytes atomic.Uint64
	badLength, refused          atomic.Uint64

	close func() error
}

var _ Device = (*device)(nil)

// Open makes a TAP, sets its MTU, keeps the host from speaking on it and sets it
// up. A device of that name must not exist.
func Open(name string, mtu int) (Device, error) {
	// All is checked before: the library cuts a long name, and leaks its
	// descriptor when it fails.
	if err := errors.Join(netdev.CheckName(name), netdev.CheckMTU(mtu)); err != nil {
		return nil, fmt.Errorf("open TAP: %w", err)
	}
	index, err := netdev.Index(name)
	if err == nil && index != 0 {
		err = fmt.Errorf("a device of this name is there: %w", os.ErrExist)
	}
	if err != nil {
		return nil, fmt.Errorf("open TAP %s: %w", name, err)
	}
	if err := Check(); err != nil {
		return nil, fmt.Errorf("open TAP %s: %w", name, err)
	}
	tap, err := water.New(water.Config{
		DeviceType:             water.TAP,
		PlatformSpecificParams: water.PlatformSpecificParams{Name: name},
	})
	if err != nil {
		return nil, fmt.Errorf("open TAP %s: %w", name, err)
	}
	file, ok := tap.ReadWriteCloser.(*os.File)
	if !ok {
		return nil, errors.Join(fmt.Errorf("open TAP %s: the library gives no file", name), tap.Close())
	}
	d := &device{name: name, file: file, mtu: mtu, close: sync.OnceValue(file.Close)}
	if err := errors.Join(closeOnExec(file), netdev.SetUp(name, mtu)); err != nil {
		return nil, errors.Join(fmt.Errorf("open TAP %s: %w", name, err), d.Close())
	}
	return d, nil
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

// closeOnExec keeps child processes from inheriting the descriptor, which the
// library forgets: a TAP lives as long as anybody holds it.
func closeOnExec(f *os.File) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var errno error
	if err := raw.Control(func(fd uintptr) { _, errno = unix.FcntlInt(fd, unix.F_SETFD, unix.FD_CLOEXEC) }); err != nil {
		return err
	}
	return errno
}

func (d *device) Name() string { return d.name }

func (d *device) ReadFrames(bufs [][]byte, sizes []int) (int, error) {
	if len(bufs) == 0 || len(sizes) < len(bufs) {
		return 0, fmt.Errorf("read TAP %s: %d buffers and %d sizes", d.name, len(bufs), len(sizes))
	}
	for {
		n, err := d.file.Read(bufs[0])
		if err != nil {
			return 0, d.wrap("read", err)
		}
		// The kernel cuts a frame that does not fit; one that fills the buffer to
		// the last byte may be such.
		if n == len(bufs[0]) || !d.fits(bufs[0][:n]) {
			d.badLength.Add(1)
			continue
		}
		d.readFrames.Add(1)
		d.readBytes.Add(uint64(n))
		sizes[0] = n
		return 1, nil
	}
}

func (d *device) WriteFrames(frames [][]byte) (int, error) {
	for i, f := range frames {
		if !d.fits(f) {
			d.badLength.Add(1)
			continue
		}
		n, err := d.file.Write(f)
		switch {
		case err == nil:
			d.writtenFrames.Add(1)
			d.writtenBytes.Add(uint64(n))
		case errors.Is(err, unix.ENOBUFS) || errors.Is(err, unix.ENOMEM) || errors.Is(err, unix.EIO):
			d.refused.Add(1)
		case errors.Is(err, unix.EINVAL):
			d.badLength.Add(1)
		default:
			return i, d.wrap("write", err)
		}
	}
	return len(frames), nil
}

// fits reports whether a frame is whole and within the MTU, to which tags are added.
func (d *device) fits(f []byte) bool {
	if len(f) < minFrame {
		return false
	}
	longest := d.mtu + minFrame
	for i := range maxTags {
		at := minFrame - 2 + i*tagLen
		if len(f) < at+2 {
			break
		}
		if kind := binary.BigEndian.Uint16(f[at:]); kind != unix.ETH_P_8021Q && kind != unix.ETH_P_8021AD {
			break
		}
		longest += tagLen
	}
	return len(f) <= longest
}

func (d *device) Stats() Stats {
	return Stats{
		ReadFrames: d.readFrames.Load(), ReadBytes: d.readBytes.Load(),
		WrittenFrames: d.writtenFrames.Load(), WrittenBytes: d.writtenBytes.Load(),
		BadLength: d.badLength.Load(), Refused: d.refused.Load(),
	}
}

func (d *device) Close() error { return d.close() }

func (d *device) wrap(operation string, err error) error {
	if errors.Is(err, os.ErrClosed) {
		return os.ErrClosed
	}
	return fmt.Errorf("%s TAP %s: %w", operation, d.name, err)
}
