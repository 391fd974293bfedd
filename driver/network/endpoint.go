package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"evio/datapath/netdev"
	"evio/datapath/packet"
	"evio/driver"
)

// announceAt is when, after its link came up, a container's addresses are made
// known to neighbours that may hold an older MAC.
var announceAt = [...]time.Duration{0, 200 * time.Millisecond, time.Second}

// carrierWait bounds how long an attachment waits for its container to start.
const carrierWait = time.Minute

// addEndpoint makes the pair, claims the addresses, and puts the host end on the
// bridge. On error nothing of it is left.
func (n *network) addEndpoint(ctx context.Context, spec driver.EndpointSpec) (err error) {
	there, err := n.unique(spec)
	if there || err != nil {
		return err
	}
	if err := n.makeInterface(spec); err != nil {
		return err
	}
	defer func() {
		if err != nil && !spec.Adopt {
			err = errors.Join(err, removeVeth(spec.HostIf))
		}
	}()
	if node := n.currentNode(); node != nil {
		if err := node.Claim(ctx, spec.Addrs, spec.MAC); err != nil {
			return err
		}
		defer func() {
			if err != nil {
				node.Withdraw(spec.Addrs, spec.MAC)
			}
		}()
	}
	life, cancel := context.WithCancel(n.ctx) //nolint:contextcheck // of the attachment, not of the call
	n.mu.Lock()
	n.endpoints[spec.ID] = &endpoint{spec: spec, cancel: cancel}
	n.mu.Unlock()
	if err := n.switched.wait(ctx); err != nil {
		cancel()
		n.mu.Lock()
		delete(n.endpoints, spec.ID)
		n.mu.Unlock()
		n.switched.request()
		return fmt.Errorf("put the container on the bridge: %w", err)
	}
	n.wg.Go(func() { n.announce(life, spec) }) //nolint:contextcheck // goes on after the call
	return nil
}

// unique reports whether the endpoint is there already, and refuses one whose
// addresses another container of this network has.
func (n *network) unique(spec driver.EndpointSpec) (there bool, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return false, errClosed
	}
	if old := n.endpoints[spec.ID]; old != nil && old.spec.HostIf == spec.HostIf {
		return true, nil
	}
	for id, e := range n.endpoints {
		if id == spec.ID {
			continue
		}
		if e.spec.MAC == spec.MAC {
			return false, fmt.Errorf("MAC address %s belongs to another container of this network: choose another one", net.HardwareAddr(spec.MAC[:]))
		}
		for _, a := range spec.Addrs {
			if slices.Contains(e.spec.Addrs, a) {
				return false, fmt.Errorf("address %s belongs to another container of this network: choose another one", a)
			}
		}
	}
	return false, nil
}

// makeInterface makes the veth pair, or checks that an adopted one is there.
func (n *network) makeInterface(spec driver.EndpointSpec) error {
	if spec.Adopt {
		names, err := netdev.List(spec.HostIf)
		if err != nil {
			return fmt.Errorf("look for the container's interface: %w", err)
		}
		if !slices.Contains(names, spec.HostIf) {
			return fmt.Errorf("the container's interface %s is gone: restart the container", spec.HostIf)
		}
		return nil
	}
	if err := netdev.CreateVeth(spec.HostIf, spec.ContainerIf, n.spec.MTU, spec.MAC); err != nil {
		return fmt.Errorf("make the container's interface: %w", err)
	}
	if n.shared {
		// The host's switch may not complete checksums, and its settings are not ours.
		if err := netdev.DisableTxChecksum(spec.ContainerIf); err != nil {
			return errors.Join(fmt.Errorf("switch checksum offload off: %w", err), removeVeth(spec.HostIf))
		}
	}
	return nil
}

// removeEndpoint takes a container off; one that is not there is no error.
func (n *network) removeEndpoint(ctx context.Context, id string) error {
	n.mu.Lock()
	e := n.endpoints[id]
	delete(n.endpoints, id)
	n.mu.Unlock()
	if e == nil {
		return nil
	}
	e.cancel()
	if node := n.currentNode(); node != nil {
		node.Withdraw(e.spec.Addrs, e.spec.MAC)
	}
	return errors.Join(n.switched.wait(ctx), removeVeth(e.spec.HostIf))
}

// announce waits until the container's link is up and then tells the neighbours,
// here and over the overlay, which MAC its addresses have now.
func (n *network) announce(ctx context.Context, spec driver.EndpointSpec) {
	up, cancel := context.WithTimeout(ctx, carrierWait)
	defer cancel()
	if err := netdev.WaitCarrier(up, spec.HostIf); err != nil {
		if ctx.Err() == nil {
			n.log.WithField("endpoint", short(spec.ID)).WithError(err).Debug("container's link did not come up")
		}
		return
	}
	began := time.Now()
	for _, at := range announceAt {
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Until(began.Add(at))):
		}
		for _, addr := range spec.Addrs {
			frame := packet.Announce(nil, addr, spec.MAC)
			n.inject(frame)
			if node := n.currentNode(); node != nil {
				node.Flood(frame)
			}
		}
	}
}
