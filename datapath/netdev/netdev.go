// Package netdev makes and configures the network devices beneath a bridge: veth
// pairs to containers, and the host's side of TAPs. It is the one place that
// speaks rtnetlink and nftables.
//
// Every function works in the network namespace of the process; none enters
// another one, so callers need no locked thread. There is no state: each call
// opens its own socket, and all functions may be called at once. Creating what
// exists replaces it, deleting what is gone succeeds.
package netdev

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// MAC is an Ethernet hardware address.
type MAC = [6]byte

// MaxName is the longest name of a device in bytes.
const MaxName = unix.IFNAMSIZ - 1

// MinMTU and MaxMTU bound what a network can use: IPv4's least (RFC 791) and what
// fits a frame of 64 KiB.
const (
	MinMTU = 68
	MaxMTU = 65521
)

// addrGenModeNone keeps the kernel from making a link-local address.
const addrGenModeNone = 1

// dumpAttempts bounds the retries of a dump that others disturb by changes.
const dumpAttempts = 5

// CheckName says what is wrong with a device name; the kernel and libraries cut
// long ones silently.
func CheckName(name string) error {
	switch {
	case name == "" || name == "." || name == "..":
		return fmt.Errorf("device name %q: use 1 to %d letters, digits or dashes", name, MaxName)
	case len(name) > MaxName:
		return fmt.Errorf("device name %q: use at most %d bytes", name, MaxName)
	case strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune("/:%", r) }):
		return fmt.Errorf("device name %q: use letters, digits and dashes only", name)
	}
	return nil
}

// CheckMTU says whether mtu can be used.
func CheckMTU(mtu int) error {
	if mtu < MinMTU || mtu > MaxMTU {
		return fmt.Errorf("MTU %d: use %d to %d", mtu, MinMTU, MaxMTU)
	}
	return nil
}

// Delete removes a device; one end of a veth pair takes the other with it.
func Delete(name string) error {
	return with("delete device "+name, func(h *netlink.Handle) error { return remove(h, name) })
}

func remove(h *netlink.Handle, name string) error {
	link, err := find(h, name)
	if err != nil || link == nil {
		return err
	}
	if err := h.LinkDel(link); err != nil && !errors.Is(err, unix.ENODEV) {
		return err
	}
	return nil
}

// SetUp sets the MTU of a device of the host's side, keeps the host from speaking on it, and
// sets it up.
func SetUp(name string, mtu int) error {
	return with("set up device "+name, func(h *netlink.Handle) error {
		if err := CheckMTU(mtu); err != nil {
			return err
		}
		link, err := h.LinkByName(name)
		if err != nil {
			return err
		}
		if err := h.LinkSetMTU(link, mtu); err != nil {
			return fmt.Errorf("MTU %d: %w", mtu, err)
		}
		return quietUp(h, link)
	})
}

// SetQueue sets how many frames a device keeps for its reader.
func SetQueue(name string, frames int) error {
	return with("set the queue of device "+name, func(h *netlink.Handle) error {
		link, err := h.LinkByName(name)
		if err != nil {
			return err
		}
		if err := h.LinkSetTxQLen(link, frames); err != nil {
			return fmt.Errorf("%d frames: %w", frames, err)
		}
		return nil
	})
}

// quietUp sets a device up on which the host itself must be silent: no link-local
// address, hence no router solicitation and no neighbour message, and no ARP.
func quietUp(h *netlink.Handle, link netlink.Link) error {
	if err := quiet(h, link); err != nil {
		return err
	}
	return h.LinkSetUp(link)
}

// quiet is quietUp without the end.
func quiet(h *netlink.Handle, link netlink.Link) error {
	// Without IPv6 in the kernel or on the device there is nothing to silence.
	if err := h.LinkSetIP6AddrGenMode(link, addrGenModeNone); err != nil && !errors.Is(err, unix.EAFNOSUPPORT) {
		return fmt.Errorf("no link-local address: %w", err)
	}
	if err := h.LinkSetARPOff(link); err != nil {
		return fmt.Errorf("no ARP: %w", err)
	}
	refuseAdvertisements(link.Attrs().Name)
	return nil
}

// refuseAdvertisements keeps the host from taking routers' advertisements on a device,
// where the settings can be written: in a managed plugin they cannot, rtnetlink has no
// word for it, and what drops all that comes in by the device has to do (Shields).
func refuseAdvertisements(name string) {
	_ = os.WriteFile("/proc/sys/net/ipv6/conf/"+name+"/accept_ra", []byte("0"), 0) // a device's name has no slash
}

// Index returns the kernel's number of a device, 0 if it does not exist. A device
// that was made again under its name has another one.
func Index(name string) (int, error) {
	fail := func(err error) (int, error) { return 0, fmt.Errorf("find device %s: %w", name, err) }
	// Not by rtnetlink, which waits for the kernel's lock of all changes of devices:
	// seconds where many containers start at once, and this is asked for each port.
	s, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fail(err)
	}
	defer unix.Close(s) //nolint:errcheck // only asked
	request, err := unix.NewIfreq(name)
	if err != nil {
		return fail(CheckName(name))
	}
	switch err := unix.IoctlIfreq(s, unix.SIOCGIFINDEX, request); {
	case errors.Is(err, unix.ENODEV):
		return 0, nil
	case err != nil:
		return fail(err)
	}
	return int(request.Uint32()), nil
}

// dump lists all devices; a dump that was interrupted by a change is incomplete
// and is done again.
func dump(h *netlink.Handle) ([]netlink.Link, error) {
	var err error
	for range dumpAttempts {
		var links []netlink.Link
		links, err = h.LinkList()
		if !errors.Is(err, netlink.ErrDumpInterrupted) {
			return links, err
		}
	}
	return nil, err
}

// find looks a device up; nil without error means that it does not exist. On
// kernels that cannot look up by name the library dumps, hence the retries.
func find(h *netlink.Handle, name string) (netlink.Link, error) {
	var err error
	for range dumpAttempts {
		var link netlink.Link
		link, err = h.LinkByName(name)
		if err == nil {
			return link, nil
		}
		if _, gone := errors.AsType[netlink.LinkNotFoundError](err); gone {
			return nil, nil //nolint:nilnil // "not there" is an answer here
		}
		if !errors.Is(err, netlink.ErrDumpInterrupted) {
			break
		}
	}
	return nil, err
}

// with runs fn with a socket of its own and names the operation in its error.
func with(operation string, fn func(*netlink.Handle) error) error {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("%s: open netlink: %w", operation, err)
	}
	defer h.Close()
	if err := fn(h); err != nil {
		return fmt.Errorf("%s: %w", operation, err)
	}
	return nil
}
