package network

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"evio/datapath/ovs"
	"evio/datapath/packet"
	"evio/driver/network/admission"
	"evio/driver/network/claims"
	"evio/driver/plane"
	"evio/overlay"
)

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

// containerPort describes the port of a container, which has no part in what another
// node owns.
func (n *network) containerPort(e *endpoint, claimed []claims.Claim) ovs.Port {
	spec := e.spec
	p := ovs.Port{
		Name: spec.HostIf, Role: ovs.Container, Tag: e.tag, MACs: []ovs.MAC{spec.MAC}, Addrs: []netip.Addr{admission.Made(spec.MAC)}, Mute: n.loops.muted(spec.ID),
	}
	for _, c := range claimed {
		if c.Addr.IsValid() {
			p.Taken = append(p.Taken, c.Addr)
		} else {
			p.MACs = append(p.MACs, c.MAC)
		}
	}
	node := n.currentNode()
	if node == nil {
		p.Addrs = append(p.Addrs, spec.Addrs...)
		return p
	}
	p.Mute = p.Mute || mute(node, spec)
	for _, a := range spec.Addrs {
		if lostTo(node, spec, a) {
			p.Lost = append(p.Lost, a)
		} else {
			p.Addrs = append(p.Addrs, a)
		}
	}
	return p
}

// mute reports whether another node owns a container's MAC address.
func mute(node *overlay.Node, spec plane.EndpointSpec) bool {
	e, known := node.Table().LookupMAC(spec.MAC)
	return known && e.Node != node.ID()
}

// lostTo reports whether another node owns an address of a container, or its MAC
// address.
func lostTo(node *overlay.Node, spec plane.EndpointSpec, addr netip.Addr) bool {
	e, known := node.Table().Lookup(addr)
	return known && e.Node != node.ID() || mute(node, spec)
}

// maxMoved is how many addresses that nobody has any more are remembered.
const maxMoved = 4096

// moved is the MAC address that each address had which nobody has at present. It belongs
// to the node's goroutine.
type moved map[netip.Addr]overlay.MAC

// follow returns the addresses that have another MAC address than before.
func (m moved) follow(changes []overlay.Change) []overlay.Entry {
	var elsewhere []overlay.Entry
	for _, c := range changes {
		if !c.Addr.IsValid() {
			continue
		}
		before, known := m[c.Addr]
		if !c.Before.Node.IsZero() {
			before, known = c.Before.MAC, true
		}
		if c.After.Node.IsZero() {
			m.remember(c.Addr, before)
			continue
		}
		delete(m, c.Addr)
		if known && before != c.After.MAC {
			elsewhere = append(elsewhere, c.After)
		}
	}
	return elsewhere
}

func (m moved) remember(addr netip.Addr, mac overlay.MAC) {
	if len(m) >= maxMoved {
		for a := range m {
			delete(m, a)
			break
		}
	}
	m[addr] = mac
}

// tellMoves tells the containers here which addresses have another MAC address than
// before, such as one that another engine has taken over: the directory is sure of it,
// whatever is lost on the way of a flood.
func (n *network) tellMoves(changes []overlay.Change) {
	if n.moved == nil {
		n.moved = moved{}
	}
	for _, e := range n.moved.follow(changes) {
		if e.Taken && e.Node == n.currentNode().ID() {
			// Not to its container, which may still ask whether another has the address.
			n.claimer.put(func(context.Context, time.Time) {
				if id := n.claimer.claimant(e.Addr); id != "" {
					n.claimer.announce(id, e.Addr, e.MAC)
				}
			})
			continue
		}
		n.inject(packet.Announce(nil, e.Addr, e.MAC))
	}
}
