package netdev

import (
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// tcActShot is the verdict "drop" of linux/pkt_cls.h.
const tcActShot = 2

// shieldName is what the filter is called.
const shieldName = "evio"

// Shield keeps the host's own network stack from receiving what comes in by a
// device. A bridge in user space reads a device by a packet socket, which gets a
// copy; the host's stack would take the original, answer for the host's addresses
// and deliver broadcasts to its services. A filter behind the packet sockets drops
// it. A bridge in the kernel takes the frames itself and needs no shield.
//
// Open vSwitch removes such a filter when it opens a device, so the shield belongs
// after that. For the first one the kernel stops the device's queue, and what is sent
// meanwhile is lost and counted nowhere, so it belongs before there is traffic. It goes
// with the device; where it is already, nothing is lost.
func Shield(name string) error {
	return with("shield the host from "+name, func(h *netlink.Handle) error {
		link, err := h.LinkByName(name)
		if err != nil {
			return err
		}
		prog, err := loadDrop()
		if err != nil {
			return fmt.Errorf("load filter: %w", err)
		}
		defer unix.Close(prog) //nolint:errcheck // the filter holds its own reference
		index := link.Attrs().Index
		qdisc := &netlink.Clsact{QdiscAttrs: netlink.QdiscAttrs{
			LinkIndex: index, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT,
		}}
		if err := h.QdiscAdd(qdisc); err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("add clsact: %w", err)
		}
		filter := &netlink.BpfFilter{
			FilterAttrs: netlink.FilterAttrs{
				LinkIndex: index, Handle: 1, Parent: netlink.HANDLE_MIN_INGRESS, Priority: 1, Protocol: unix.ETH_P_ALL,
			},
			Fd: prog, Name: shieldName, DirectAction: true,
		}
		if err := h.FilterReplace(filter); err != nil {
			return fmt.Errorf("add filter: %w", err)
		}
		return nil
	})
}

// Shielded reports whether a device has the filter that Shield puts on it.
func Shielded(d Device) (bool, error) {
	found := false
	err := with("look for the shield of "+d.Name, func(h *netlink.Handle) error {
		link := &netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Index: d.Index}}
		filters, err := h.FilterList(link, netlink.HANDLE_MIN_INGRESS)
		for _, f := range filters {
			bpf, ok := f.(*netlink.BpfFilter)
			found = found || ok && bpf.Name == shieldName
		}
		return err
	})
	return found, err
}

// progLoad is the head of union bpf_attr of linux/bpf.h for BPF_PROG_LOAD.
type progLoad struct {
	progType, insnCount uint32
	insns, license      unsafe.Pointer
	logLevel, logSize   uint32
	logBuf              unsafe.Pointer
	kernVersion, flags  uint32
}

// loadDrop loads the classifier that drops everything: r0 = TC_ACT_SHOT; exit.
func loadDrop() (int, error) {
	insns := [2]uint64{0xb7 | tcActShot<<32, 0x95}
	license := [1]byte{}
	attr := progLoad{
		progType: unix.BPF_PROG_TYPE_SCHED_CLS, insnCount: uint32(len(insns)),
		insns: unsafe.Pointer(&insns), license: unsafe.Pointer(&license), //nolint:gosec // the kernel's own layout
	}
	fd, _, errno := unix.Syscall(unix.SYS_BPF, unix.BPF_PROG_LOAD, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr)) //nolint:gosec // ditto
	runtime.KeepAlive(&insns)
	runtime.KeepAlive(&license)
	if errno != 0 {
		return -1, errno
	}
	return int(fd), nil
}
