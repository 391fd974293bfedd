package tap

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Offloads are what a device does in place of the kernel in front of it and behind it.
type Offloads struct {
	// Checksums says that frames may pass whose checksum is unfinished.
	Checksums bool
	// TCP and UDP say that super-frames of theirs may pass. UDP needs Linux 6.2 or newer.
	TCP, UDP bool
	// OneTag says that whoever reads what is written looks behind one VLAN tag at most. What is
	// unfinished behind more is cut and finished before.
	OneTag bool
	// Why says in half a sentence why one of them is off; empty: none is.
	Why string
}

// AllOffloads is all that there is.
var AllOffloads = Offloads{Checksums: true, TCP: true, UDP: true}

// set is what TUNSETOFFLOAD takes. TUN_F_TSO_ECN is not among it: the kernel cuts the few
// super-frames with CWR itself, and a bridge that does not know the bit of the header loses
// nothing.
func (o Offloads) set() uint {
	set := uint(0)
	if o.Checksums {
		set |= unix.TUN_F_CSUM
	}
	if o.TCP {
		set |= unix.TUN_F_CSUM | unix.TUN_F_TSO4 | unix.TUN_F_TSO6
	}
	if o.UDP {
		set |= unix.TUN_F_CSUM | unix.TUN_F_USO4 | unix.TUN_F_USO6
	}
	return set
}

// smaller returns the next smaller set, false if there is none.
func (o Offloads) smaller() (Offloads, bool) {
	switch {
	case o.UDP:
		o.UDP = false
	case o.TCP:
		o.TCP = false
	case o.Checksums:
		o.Checksums = false
	default:
		return o, false
	}
	return o, true
}

// any reports whether something is on.
func (o Offloads) any() bool { return o.Checksums || o.TCP || o.UDP }

func (o Offloads) String() string {
	var names []string
	for _, x := range []struct {
		on   bool
		name string
	}{{o.TCP, "segmentation of TCP"}, {o.UDP, "segmentation of UDP"}, {o.Checksums, "checksums"}} {
		if x.on {
			names = append(names, x.name)
		}
	}
	if names == nil {
		return "nothing"
	}
	return strings.Join(names, ", ")
}

// openOffloading makes a TAP whose frames have a header in front of them, and returns which
// of the wanted offloads the kernel takes.
func openOffloading(name string, want Offloads) (*os.File, Offloads, error) {
	fd, err := unix.Open(control, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, want, err
	}
	got, err := attach(fd, name, want)
	if err != nil {
		return nil, want, errors.Join(err, unix.Close(fd))
	}
	// Not before TUNSETIFF: to the runtime's poller a file without a device is one in error.
	return os.NewFile(uintptr(fd), control), got, nil
}

// attach makes the device of a descriptor and says what it offloads.
func attach(fd int, name string, want Offloads) (Offloads, error) {
	request, err := unix.NewIfreq(name)
	if err != nil {
		return want, err
	}
	request.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR | unix.IFF_TUN_EXCL)
	switch err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); {
	case errors.Is(err, unix.EBUSY):
		return want, fmt.Errorf("a device of this name is there: %w", os.ErrExist)
	case err != nil:
		return want, fmt.Errorf("make the device: %w", err)
	}
	if err := unix.IoctlSetPointerInt(fd, unix.TUNSETVNETHDRSZ, headerLen); err != nil {
		return want, fmt.Errorf("set the length of headers: %w", err)
	}
	return settle(want, func(o Offloads) error { return unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, int(o.set())) })
}

// settle tries smaller and smaller sets until the kernel takes one.
func settle(want Offloads, try func(Offloads) error) (Offloads, error) {
	refusal := ""
	for o := want; ; {
		err := try(o)
		if err == nil {
			o.Why = strings.TrimPrefix(o.Why+refusal, "; ")
			return o, nil
		}
		if refusal == "" {
			refusal = fmt.Sprintf("; the kernel refuses %s: %v", o, err)
		}
		smaller, ok := o.smaller()
		if !ok {
			return want, fmt.Errorf("offload %s: %w", o, err)
		}
		o = smaller
	}
}
