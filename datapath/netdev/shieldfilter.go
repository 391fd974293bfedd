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

// putFilter puts a filter of tc on a device that drops all that comes.
func putFilter(d Device) error {
	return with("filter what comes in by "+d.Name, func(h *netlink.Handle) error {
		prog, err := loadDrop()
		if err != nil {
			return fmt.Errorf("load filter: %w", err)
		}
		defer unix.Close(prog) //nolint:errcheck // the filter holds its own reference
		qdisc := &netlink.Clsact{QdiscAttrs: netlink.QdiscAttrs{
			LinkIndex: d.Index, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT,
		}}
		if err := h.QdiscAdd(qdisc); err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("add clsact: %w", err)
		}
		filter := &netlink.BpfFilter{
			FilterAttrs: netlink.FilterAttrs{
				LinkIndex: d.Index, Handle: 1, Parent: netlink.HANDLE_MIN_INGRESS, Priority: 1, Protocol: unix.ETH_P_ALL,
			},
			Fd: prog, Name: shieldName, DirectAction: true,
		}
		if err := h.FilterReplace(filter); err != nil {
			return fmt.Errorf("add filter: %w", err)
		}
		return nil
	})
}

// filtered reports whether a device has the filter of putFilter.
func filtered(d Device) (bool, error) {
	found := false
	err := with("look for the filter of "+d.Name, func(h *netlink.Handle) error {
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
