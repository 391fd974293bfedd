package evio

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"

	"evio/datapath/tap"
	"evio/driver/network/device"
)

// host is who uses the TAP of a link: the host itself, and its one peer, whom the host must know,
// since it asks nobody on a TAP.
type host struct {
	addr     netip.Prefix
	mac      net.HardwareAddr
	peer     netip.Addr
	peersMAC net.HardwareAddr
}

// hostLink is a link whose frames come from the host and go to it. A TAP through which nothing
// passes is its port on the bridge.
type hostLink struct {
	tap.Device
	port tap.Device
}

// open is network.Config.OpenLink. Both TAPs are the product's. The host's offloads all that the
// kernel can, since it has no switch behind it that can do less.
func (h host) open(c device.PortConfig) (tap.Device, error) {
	port, err := device.OpenPort(c)
	if err != nil {
		return nil, err
	}
	c.Name, c.Mark, c.Shield = device.Name("evh", c.Name), "", func(string) {}
	c.Offloads = func() tap.Offloads { return tap.AllOffloads }
	users, err := device.OpenPort(c)
	if err != nil {
		return nil, errors.Join(err, port.Close())
	}
	if err := h.use(c.Name); err != nil {
		return nil, errors.Join(err, users.Close(), port.Close())
	}
	return hostLink{users, port}, nil
}

// Name is the port's, by which the network knows the link.
func (l hostLink) Name() string { return l.port.Name() }

// Close closes both.
func (l hostLink) Close() error { return errors.Join(l.Device.Close(), l.port.Close()) }

// use gives a device the host's addresses and tells the host where its peer is.
func (h host) use(name string) error {
	fail := func(err error) error { return fmt.Errorf("give the host the device %s: %w", name, err) }
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fail(err)
	}
	if err := netlink.LinkSetHardwareAddr(link, h.mac); err != nil {
		return fail(err)
	}
	// The address comes last: what is sent to the peer before would be sent to nobody.
	err = netlink.NeighSet(&netlink.Neigh{
		LinkIndex: link.Attrs().Index, State: netlink.NUD_PERMANENT, IP: h.peer.AsSlice(), HardwareAddr: h.peersMAC,
	})
	if err != nil {
		return fail(err)
	}
	own := &net.IPNet{IP: h.addr.Addr().AsSlice(), Mask: net.CIDRMask(h.addr.Bits(), h.addr.Addr().BitLen())}
	if err := netlink.AddrAdd(link, &netlink.Addr{IPNet: own}); err != nil {
		return fail(err)
	}
	return nil
}
