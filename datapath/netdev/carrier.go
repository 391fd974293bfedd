package netdev

import (
	"context"
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// WaitCarrier returns when the device has a carrier: for a veth when both ends are
// up, for a TAP when a process holds it. A device that does not exist yet is
// waited for as well.
func WaitCarrier(ctx context.Context, name string) error {
	for {
		up, err := watchCarrier(ctx, name)
		if err != nil {
			return fmt.Errorf("wait for carrier of %s: %w", name, err)
		}
		if up {
			return nil
		}
	}
}

// watchCarrier subscribes first and looks afterwards, so that no change is missed.
// It reports false when the kernel ended the subscription, which it does when too
// many changes came at once.
func watchCarrier(ctx context.Context, name string) (bool, error) {
	updates, done := make(chan netlink.LinkUpdate), make(chan struct{})
	if err := netlink.LinkSubscribe(updates, done); err != nil {
		return false, err
	}
	defer func() {
		close(done)
		for range updates { // the library's reader ends when nobody blocks it
		}
	}()
	up, err := hasCarrier(name)
	if up || err != nil {
		return up, err
	}
	for {
		select {
		case <-ctx.Done():
			return false, context.Cause(ctx)
		case u, ok := <-updates:
			if !ok {
				return false, context.Cause(ctx)
			}
			if u.Attrs().Name == name && carrier(u.Link) {
				return true, nil
			}
		}
	}
}

func hasCarrier(name string) (bool, error) {
	up := false
	err := with("look up", func(h *netlink.Handle) error {
		link, err := find(h, name)
		up = link != nil && carrier(link)
		return err
	})
	return up, err
}

func carrier(l netlink.Link) bool {
	const flags = unix.IFF_UP | unix.IFF_LOWER_UP
	return l.Attrs().RawFlags&flags == flags
}
