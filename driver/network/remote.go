package network

import (
	"context"
	"net/netip"

	"evio/datapath/ovs"
	"evio/driver/plane"
	"evio/overlay"
	"evio/overlay/nodeid"
)

// remote is where MAC addresses are.
type remote map[nodeid.ID]map[overlay.MAC]struct{}

// move takes a MAC address from one node to another; the zero ID is nowhere.
func (r remote) move(mac overlay.MAC, from, to nodeid.ID) {
	if macs := r[from]; macs != nil {
		delete(macs, mac)
		if len(macs) == 0 {
			delete(r, from)
		}
	}
	if to.IsZero() {
		return
	}
	if r[to] == nil {
		r[to] = map[overlay.MAC]struct{}{}
	}
	r[to][mac] = struct{}{}
}

// follow takes what has changed in the directory into what the bridge shall be. What
// concerns no container here changes no more than the flows of the MAC addresses that moved.
func (n *network) follow(changes []overlay.Change) {
	n.mu.Lock()
	if n.remote == nil {
		n.remote = remote{}
	}
	if n.moving.macs == nil {
		n.moving = pendingMoves{map[overlay.MAC]nodeid.ID{}, map[netip.Addr]bool{}}
	}
	whole := false
	for _, c := range changes {
		whole = whole || n.own.concerns(c)
		switch {
		case !c.Addr.IsValid():
			n.remote.move(c.MAC, c.Before.Node, c.After.Node)
			n.moving.macs[c.MAC] = c.After.Node
		case n.elsewhere == nil:
		case c.After.Node.IsZero() || c.After.Node == n.currentNode().ID():
			n.moving.elsewhere[c.Addr] = false
			delete(n.elsewhere, c.Addr)
		default:
			n.moving.elsewhere[c.Addr] = true
			n.elsewhere[c.Addr] = struct{}{}
		}
	}
	part := len(n.moving.macs)+len(n.moving.elsewhere) > 0
	n.mu.Unlock()
	switch {
	case whole:
		n.switched.request()
	case part:
		n.switched.change()
	}
}

// own counts the containers here that have an address or a MAC address, whoever holds it.
type own struct {
	addrs map[netip.Addr]int
	macs  map[overlay.MAC]int
}

// concerns reports whether a change is of what a container here has: it gets that back, or
// has no part in it any more.
func (o *own) concerns(c overlay.Change) bool {
	if c.Addr.IsValid() {
		return o.addrs[c.Addr] > 0
	}
	return o.macs[c.MAC] > 0
}

// ownLocked counts a container that comes (1) or goes (-1).
func (n *network) ownLocked(spec plane.EndpointSpec, by int) {
	if n.own.addrs == nil {
		n.own = own{map[netip.Addr]int{}, map[overlay.MAC]int{}}
	}
	count(n.own.macs, spec.MAC, by)
	for _, a := range spec.Addrs {
		count(n.own.addrs, a, by)
	}
}

// count counts up or down, to nothing instead of zero.
func count[K comparable](counts map[K]int, k K, by int) {
	if counts[k] += by; counts[k] == 0 {
		delete(counts, k)
	}
}

// pendingMoves is what the flows do not follow yet.
type pendingMoves struct {
	macs      map[overlay.MAC]nodeid.ID // where they are
	elsewhere map[netip.Addr]bool       // whether another node holds them, if the flows have to know that
}

func (n *network) takeMoving() pendingMoves {
	n.mu.Lock()
	defer n.mu.Unlock()
	m := n.moving
	n.moving = pendingMoves{}
	return m
}

// applyMoves brings the flows of what has moved to what they should be. Where that does
// not do it fails, and all of the bridge is to be applied.
func (n *network) applyMoves(ctx context.Context) error { return n.moveBy(ctx, n.sw.Move) }

func (n *network) moveBy(ctx context.Context, move func(context.Context, string, ovs.Moves) error) error {
	m := n.takeMoving()
	coming, moved := make(map[overlay.MAC]*link, len(m.macs)), ovs.Moves{Stations: make([]ovs.Station, 0, len(m.macs))}
	n.mu.Lock()
	for mac, at := range m.macs {
		l := n.links[at]
		coming[mac] = l
		s := ovs.Station{MAC: mac}
		if l != nil {
			s.Port = l.dev.Name()
		}
		moved.Stations = append(moved.Stations, s)
	}
	n.mu.Unlock()
	for a, held := range m.elsewhere {
		if held {
			moved.Came = append(moved.Came, a)
		} else {
			moved.Went = append(moved.Went, a)
		}
	}
	n.accepted.narrowTo(coming)
	if err := move(ctx, n.bridge, moved); err != nil {
		return err
	}
	n.accepted.put(coming)
	return nil
}
