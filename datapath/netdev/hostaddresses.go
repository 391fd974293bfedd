package netdev

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// HostAddresses returns the IPv4 and IPv6 addresses of all devices, by the kernel's
// number of the device, in one request for each family.
func HostAddresses() (map[int][]netip.Prefix, error) {
	all := map[int][]netip.Prefix{}
	err := with("list addresses", func(h *netlink.Handle) error {
		list, err := dumpAddresses(h, nil)
		for _, a := range list {
			if addr, ok := netip.AddrFromSlice(a.IP); ok {
				ones, _ := a.Mask.Size()
				all[a.LinkIndex] = append(all[a.LinkIndex], netip.PrefixFrom(addr.Unmap(), ones))
			}
		}
		return err
	})
	return all, err
}

// Silence takes all addresses off a device of the host's side and keeps the kernel from
// making another link-local one. What the host would say with them goes into the network
// in the name of nobody in it.
func Silence(name string) error {
	return with("take the addresses off device "+name, func(h *netlink.Handle) error {
		link, err := h.LinkByName(name)
		if err != nil {
			return err
		}
		if err := quiet(h, link); err != nil {
			return err
		}
		list, err := dumpAddresses(h, link)
		if err != nil {
			return err
		}
		for _, a := range list {
			// One that is gone went with another, or with its time.
			if err := h.AddrDel(link, &a); err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
				return fmt.Errorf("%s: %w", a.IPNet, err)
			}
		}
		return nil
	})
}

// dumpAddresses lists the addresses of a device, or of all.
func dumpAddresses(h *netlink.Handle, link netlink.Link) ([]netlink.Addr, error) {
	var err error
	for range dumpAttempts {
		var list []netlink.Addr
		list, err = h.AddrList(link, netlink.FAMILY_ALL)
		if !errors.Is(err, netlink.ErrDumpInterrupted) {
			return list, err
		}
	}
	return nil, err
}
