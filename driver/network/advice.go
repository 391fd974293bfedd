package network

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"evio/driver/plane"
	"evio/overlay"
	"evio/overlay/directory"
)

// Bounds of the search for an address to advise.
const (
	maxLooked  = 4096 // addresses looked up in the directory
	maxChecked = 16   // of these, asked about
)

// advise adds to the error of an address that Docker has chosen and cannot be had what
// helps. Docker takes the address back, and hands out the lowest free one at each try: a
// network driver can neither keep it from that nor choose another address.
func (n *network) advise(ctx context.Context, node *overlay.Node, spec plane.EndpointSpec, err error) error {
	var conflict *directory.ConflictError
	switch {
	case errors.As(err, &conflict) && conflict.Key.Addr.IsValid():
	case errors.Is(err, directory.ErrNobodys):
	default:
		return err
	}
	other := ""
	for _, a := range spec.Addrs {
		if free, ok := n.freeAddress(ctx, node, a); ok {
			option := "--ip"
			if free.Is6() {
				option = "--ip6"
			}
			other = fmt.Sprintf(", or start this container with %s %s, which is free now", option, free)
			break
		}
	}
	return fmt.Errorf("%w. If Docker chose it, Docker chooses it again at each try: remove the network and create it again with a --subnet and an --ip-range that no other site uses%s", err, other)
}

// freeAddress returns an address behind one that is not free, as far as this node knows.
func (n *network) freeAddress(ctx context.Context, node *overlay.Node, after netip.Addr) (netip.Addr, bool) {
	var subnet netip.Prefix
	for _, s := range n.spec.Subnets {
		if s.Contains(after) {
			subnet = s
		}
	}
	table, checked := node.Table(), 0
	for range maxLooked {
		after = after.Next()
		if !subnet.IsValid() || !subnet.Contains(after) || checked >= maxChecked {
			break
		}
		if _, known := table.Lookup(after); known || n.localAddress(after) {
			continue
		}
		checked++
		if node.Check(ctx, []netip.Addr{after}, nobodysMAC()) == nil {
			return after, true
		}
	}
	return netip.Addr{}, false
}

// localAddress reports whether Docker has given an address away here, or keeps it.
func (n *network) localAddress(addr netip.Addr) bool {
	if slices.Contains(n.spec.Gateways, addr) {
		return true
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, e := range n.endpoints {
		if slices.Contains(e.spec.Addrs, addr) {
			return true
		}
	}
	return false
}
