package netdev

import (
	"errors"
	"fmt"
	"net"

	"github.com/vishvananda/netlink"
)

// CreateVeth makes a veth pair: host becomes a port of the bridge and is up, and
// silent as far as the host itself goes; container is left down, with address mac,
// to be moved into a container. Both have the given MTU. Devices of these names
// that exist are deleted first.
func CreateVeth(host, container string, mtu int, mac MAC) error {
	operation := fmt.Sprintf("create veth %s-%s", host, container)
	if err := errors.Join(CheckName(host), CheckName(container), CheckMTU(mtu), checkMAC(mac)); err != nil {
		return fmt.Errorf("%s: %w", operation, err)
	}
	return with(operation, func(h *netlink.Handle) error {
		for _, name := range []string{host, container} {
			if err := remove(h, name); err != nil {
				return fmt.Errorf("delete the old %s: %w", name, err)
			}
		}
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.MTU = host, mtu
		pair := &netlink.Veth{
			LinkAttrs:        attrs,
			PeerName:         container,
			PeerMTU:          uint32(mtu), // bounded by CheckMTU
			PeerHardwareAddr: net.HardwareAddr(mac[:]),
		}
		if err := h.LinkAdd(pair); err != nil {
			return err
		}
		if err := quietUp(h, pair); err != nil {
			return errors.Join(err, h.LinkDel(pair))
		}
		return nil
	})
}

func checkMAC(mac MAC) error {
	if mac[0]&1 != 0 || mac == (MAC{}) {
		return fmt.Errorf("MAC address %s: use a unicast address", net.HardwareAddr(mac[:]))
	}
	return nil
}
