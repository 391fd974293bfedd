package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync/atomic"
	"time"

	"evio/datapath/netdev"
	"evio/datapath/ovs"
	"evio/datapath/packet"
	"evio/driver/network/device"
	"evio/driver/plane"
)

// announceAt is when, after its link came up, a container's addresses are made
// known to neighbours that may hold an older MAC.
var announceAt = [...]time.Duration{0, 200 * time.Millisecond, time.Second}

// carrierWait bounds how long an attachment waits for its container to start.
const carrierWait = time.Minute

// endpoint is a container's attachment. It holds its addresses from the beginning,
// so that no other one is given them meanwhile.
type endpoint struct {
	spec plane.EndpointSpec
	gone atomic.Bool // its interface went away, which was logged
	tag  uint16      // names it to the asking port; 0: it is not asked about

	// Guarded by the network's mu.
	attached bool               // the bridge shall have its interface
	onBridge bool               // it was put there
	stop     context.CancelFunc // ends its announcements; nil: they have not begun
}

// addEndpoint makes the pair, claims the addresses, and puts the host end on the
// bridge. On error nothing of it is left.
func (n *network) addEndpoint(ctx context.Context, spec plane.EndpointSpec) (err error) {
	there, err := n.present(spec)
	if err != nil {
		return err
	}
	if there != nil {
		return n.awaitPort(ctx, there)
	}
	e, err := n.reserve(spec)
	if err != nil {
		return err
	}
	defer func() {
		if err == nil {
			return
		}
		n.release(e)
		n.switched.request()
		if !spec.Adopt {
			err = errors.Join(err, removeVeth(spec.HostIf))
		}
	}()
	if err := n.makeInterface(spec); err != nil {
		return err
	}
	n.claimer.begin(spec)
	if err := n.claim(ctx, spec); err != nil {
		return err
	}
	n.mu.Lock()
	e.attached = true
	n.mu.Unlock()
	if err := n.awaitPort(ctx, e); err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return errClosed
	}
	n.beginAnnouncingLocked(ctx, e)
	return nil
}

// awaitPort waits until the bridge has the endpoint's interface.
func (n *network) awaitPort(ctx context.Context, e *endpoint) error {
	n.mu.Lock()
	done := e.onBridge
	n.mu.Unlock()
	if done {
		return nil
	}
	if err := ofPort(n.switched.wait(ctx), e.spec.HostIf); err != nil {
		return fmt.Errorf("put the container on the bridge: %w", err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	e.onBridge = true
	return nil
}

// present returns the endpoint if it is there already. One whose interface went away
// with its container, without a call from Docker, is given up.
func (n *network) present(spec plane.EndpointSpec) (*endpoint, error) {
	n.mu.Lock()
	old := n.endpoints[spec.ID]
	n.mu.Unlock()
	if old == nil {
		return nil, nil
	}
	index, err := netdev.Index(old.spec.HostIf)
	if err != nil {
		return nil, fmt.Errorf("look for the container's interface: %w", err)
	}
	if index != 0 && old.spec.HostIf == spec.HostIf {
		return old, nil
	}
	n.release(old)
	return nil, removeVeth(old.spec.HostIf)
}

// reserve gives the endpoint its addresses within this network, and refuses it if
// another container has one of them.
func (n *network) reserve(spec plane.EndpointSpec) (*endpoint, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return nil, errClosed
	}
	if err := n.takenLocked(spec); err != nil {
		return nil, err
	}
	e := &endpoint{spec: spec, tag: n.freeTagLocked()}
	n.endpoints[spec.ID] = e
	n.view.countOwn(spec, 1)
	return e, nil
}

func (n *network) takenLocked(spec plane.EndpointSpec) error {
	for _, e := range n.endpoints {
		if e.spec.MAC == spec.MAC {
			return fmt.Errorf("MAC address %s belongs to another container of this network: choose another one", net.HardwareAddr(spec.MAC[:]))
		}
		for _, a := range spec.Addrs {
			if slices.Contains(e.spec.Addrs, a) {
				return fmt.Errorf("address %s belongs to another container of this network: choose another one", a)
			}
		}
	}
	return nil
}

// release takes an endpoint out and gives its addresses up. Both happen under the
// lock: whoever is given the addresses next claims them after they were withdrawn.
func (n *network) release(e *endpoint) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if e.stop != nil {
		e.stop()
	}
	if n.endpoints[e.spec.ID] != e {
		return
	}
	delete(n.endpoints, e.spec.ID)
	n.loops.forget(e.spec.ID)
	n.view.countOwn(e.spec, -1)
	n.claimer.end(e.spec.ID)
	if node := n.currentNode(); node != nil {
		node.Withdraw(e.spec.Addrs, e.spec.MAC)
	}
}

// makeInterface makes the veth pair, or checks that an adopted one is there.
func (n *network) makeInterface(spec plane.EndpointSpec) error {
	if spec.Adopt {
		index, err := netdev.Index(spec.HostIf)
		if err != nil {
			return fmt.Errorf("look for the container's interface: %w", err)
		}
		if index == 0 {
			return fmt.Errorf("the container's interface %s is gone: restart the container", spec.HostIf)
		}
		return n.markInterface(spec)
	}
	if err := netdev.CreateVeth(spec.HostIf, spec.ContainerIf, n.spec.MTU, spec.MAC); err != nil {
		return fmt.Errorf("make the container's interface: %w", err)
	}
	if err := n.markInterface(spec); err != nil {
		return err
	}
	return n.limitOffloads(spec.ContainerIf)
}

// limitOffloads keeps a container from leaving to its interface what the switch cannot
// do. The kernel's own datapath can do everything.
func (n *network) limitOffloads(device string) error {
	info := n.sw.Info()
	if info.Datapath != ovs.DatapathNetdev {
		return nil
	}
	keep := netdev.TCPOffloads
	if !info.Own { // it may not complete sums, and its settings are not ours
		keep = netdev.NoOffloads
	}
	return netdev.LimitOffloads(device, keep)
}

func (n *network) markInterface(spec plane.EndpointSpec) error {
	return device.SetMark(spec.HostIf, device.Mark(n.engine, n.spec.ID, device.ForEndpoint, spec.ID))
}

// adopt takes endpoints whose interfaces are still there onto the bridge before that is
// touched. What is wrong with the others AddEndpoint says.
func (n *network) adopt(ctx context.Context, endpoints []plane.EndpointSpec) {
	for _, spec := range endpoints {
		if n.makeInterface(spec) != nil {
			continue
		}
		e, err := n.reserve(spec)
		if err != nil {
			continue
		}
		n.claimer.begin(spec)
		n.mu.Lock()
		e.attached = true
		n.beginAnnouncingLocked(ctx, e)
		n.mu.Unlock()
	}
}

// noteAdopted notes which of the adopted endpoints the bridge has, after the result of
// applying it. The others AddEndpoint waits for.
func (n *network) noteAdopted(applied error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, e := range n.endpoints {
		e.onBridge = e.attached && ofPort(applied, e.spec.HostIf) == nil
	}
}

// removeEndpoint takes a container off; one that is not there is no error.
func (n *network) removeEndpoint(ctx context.Context, id string) error {
	n.mu.Lock()
	e := n.endpoints[id]
	n.mu.Unlock()
	if e == nil {
		return nil
	}
	n.release(e)
	return errors.Join(ofPort(n.switched.wait(ctx), e.spec.HostIf), removeVeth(e.spec.HostIf))
}

// beginAnnouncingLocked announces an endpoint, unless it was released meanwhile.
func (n *network) beginAnnouncingLocked(ctx context.Context, e *endpoint) {
	if n.endpoints[e.spec.ID] == e {
		e.stop = n.group.begin(ctx, func(ctx context.Context) { n.announce(ctx, e.spec) })
	}
}

// announce waits until the container's link is up and then announces to the neighbours,
// here and over the overlay, which MAC address its addresses have now.
func (n *network) announce(ctx context.Context, spec plane.EndpointSpec) {
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
		node := n.currentNode()
		for _, addr := range spec.Addrs {
			if node != nil && lostTo(node, spec, addr) {
				continue
			}
			frame := packet.Announce(nil, addr, spec.MAC)
			n.inject(frame)
			if node != nil {
				node.Flood(frame)
			}
		}
	}
}

// checkWait bounds how long a question to the network's own node may take. A node that
// is that busy knows nothing in time.
const checkWait = 2 * time.Second

// check says which other engine has an address or the MAC address, as far as is known.
func (n *network) check(ctx context.Context, spec plane.EndpointSpec) error {
	node := n.currentNode()
	if node == nil {
		return nil
	}
	asking, cancel := context.WithTimeout(ctx, checkWait)
	defer cancel()
	err := node.Check(asking, spec.Addrs, spec.MAC)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return nil
	}
	return n.advise(asking, node, spec, err)
}

// claim takes a container's addresses in the overlay. Those of a container that runs
// already it shares with nobody either, but that may turn out later.
func (n *network) claim(ctx context.Context, spec plane.EndpointSpec) error {
	node := n.currentNode()
	switch {
	case node == nil:
		return nil
	case spec.Adopt:
		return node.Keep(ctx, spec.Addrs, spec.MAC)
	default:
		return n.advise(ctx, node, spec, node.Claim(ctx, spec.Addrs, spec.MAC))
	}
}
