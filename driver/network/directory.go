package network

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"evio/datapath/packet"
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

// view is what the bridge has to know of the directory. The zero value is ready; any
// goroutine may use it.
type view struct {
	mu        sync.Mutex
	remote    remote
	elsewhere map[netip.Addr]struct{} // addresses of other nodes; nil: the flows need not know them
	own       own
	moving    pendingMoves // what the flows do not follow yet
}

// follow takes what has changed in the directory into what the bridge shall be. What
// concerns no container here changes only the flows of the MAC addresses that moved.
func (n *network) follow(changes []overlay.Change) {
	var self nodeid.ID
	if node := n.currentNode(); node != nil {
		self = node.ID()
	}
	switch whole, part := n.view.follow(changes, self); {
	case whole:
		n.switched.request()
	case part:
		n.switched.change()
	}
}

// follow reports whether the whole bridge has to be applied, or only what moved.
func (v *view) follow(changes []overlay.Change, self nodeid.ID) (whole, part bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.remote == nil {
		v.remote = remote{}
	}
	if v.moving.macs == nil {
		v.moving = pendingMoves{map[overlay.MAC]nodeid.ID{}, map[netip.Addr]bool{}}
	}
	for _, c := range changes {
		whole = whole || v.own.concerns(c)
		switch {
		case !c.Addr.IsValid():
			v.remote.move(c.MAC, c.Before.Node, c.After.Node)
			v.moving.macs[c.MAC] = c.After.Node
		case v.elsewhere == nil:
		case c.After.Node.IsZero() || c.After.Node == self:
			v.moving.elsewhere[c.Addr] = false
			delete(v.elsewhere, c.Addr)
		default:
			v.moving.elsewhere[c.Addr] = true
			v.elsewhere[c.Addr] = struct{}{}
		}
	}
	return whole, len(v.moving.macs)+len(v.moving.elsewhere) > 0
}

// now returns the MAC addresses of each node and the addresses of other nodes.
func (v *view) now() (macs map[nodeid.ID][]overlay.MAC, elsewhere []netip.Addr) {
	v.mu.Lock()
	defer v.mu.Unlock()
	macs = make(map[nodeid.ID][]overlay.MAC, len(v.remote))
	for node, all := range v.remote {
		macs[node] = slices.Collect(maps.Keys(all))
	}
	return macs, slices.Collect(maps.Keys(v.elsewhere))
}

// takeMoving returns what the flows do not follow yet; from now on they do.
func (v *view) takeMoving() pendingMoves {
	v.mu.Lock()
	defer v.mu.Unlock()
	m := v.moving
	v.moving = pendingMoves{}
	return m
}

// countOwn counts a container that comes (1) or goes (-1).
func (v *view) countOwn(spec plane.EndpointSpec, by int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.own.addrs == nil {
		v.own = own{map[netip.Addr]int{}, map[overlay.MAC]int{}}
	}
	count(v.own.macs, spec.MAC, by)
	for _, a := range spec.Addrs {
		count(v.own.addrs, a, by)
	}
}

// own counts the containers here that have an address or a MAC address, whoever holds it.
type own struct {
	addrs map[netip.Addr]int
	macs  map[overlay.MAC]int
}

// concerns reports whether a change is about what a container here has: the container
// gets it back or loses it.
func (o *own) concerns(c overlay.Change) bool {
	if c.Addr.IsValid() {
		return o.addrs[c.Addr] > 0
	}
	return o.macs[c.MAC] > 0
}

// count counts up or down, to nothing instead of zero.
func count[K comparable](counts map[K]int, k K, by int) {
	if counts[k] += by; counts[k] == 0 {
		delete(counts, k)
	}
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

// announceMoves announces to the containers here which addresses have another MAC address
// than before, for instance because another engine has taken them over. The directory is
// reliable; a flood may be lost.
func (n *network) announceMoves(changes []overlay.Change) {
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
