package netdev

import (
	"errors"
	"fmt"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// MaxMark is the longest mark of a device in bytes.
const MaxMark = 255

// Device is what the kernel says of a device.
type Device struct {
	Name  string
	Index int
	MTU   int
	// Ready says that it is up and does not speak ARP, as SetUp leaves it.
	Ready bool
	Mark  string // what Mark wrote
}

// Devices returns all devices by name, in one request.
func Devices() (map[string]Device, error) {
	all := map[string]Device{}
	err := with("list devices", func(h *netlink.Handle) error {
		links, err := dump(h)
		for _, l := range links {
			const flags = unix.IFF_UP | unix.IFF_NOARP
			a := l.Attrs()
			all[a.Name] = Device{
				Name: a.Name, Index: a.Index, MTU: a.MTU, Ready: a.RawFlags&flags == flags, Mark: a.Alias,
			}
		}
		return err
	})
	return all, err
}

// Mark writes into a device whose it is; the kernel keeps the text with it, as its
// alias.
func Mark(name, text string) error {
	return with("mark device "+name, func(h *netlink.Handle) error {
		if text == "" || len(text) > MaxMark || strings.ContainsRune(text, 0) {
			return fmt.Errorf("mark of %d bytes: use 1 to %d", len(text), MaxMark)
		}
		link, err := h.LinkByName(name)
		if err != nil {
			return err
		}
		return h.LinkSetAlias(link, text)
	})
}

// DeleteExact removes this very device, not another that has taken its name. One
// that is gone is no error.
func DeleteExact(d Device) error {
	return with("delete device "+d.Name, func(h *netlink.Handle) error {
		err := h.LinkDel(&netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Index: d.Index}})
		if errors.Is(err, unix.ENODEV) {
			return nil
		}
		return err
	})
}
