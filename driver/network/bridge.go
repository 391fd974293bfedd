package network

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"slices"

	"evio/datapath/netdev"
	"evio/datapath/ovs"
	"evio/driver/network/admission"
	"evio/driver/network/claims"
	"evio/driver/plane"
	"evio/overlay"
	"evio/overlay/nodeid"
)

// apply makes the bridge as it should be and records what its flows now accept. A
// port whose device went away meanwhile because nobody wants it any more is no
// fault of those that remain: then the newest state is applied at once.
func (n *network) apply(ctx context.Context) error {
	drifted := n.repairs.take()
	err := n.applyBy(ctx, n.sw.Apply)
	n.repaired(drifted, err)
	n.renewPorts(err)
	return err
}

func (n *network) applyBy(ctx context.Context, apply func(context.Context, ovs.Bridge) error) error {
	for {
		n.view.takeMoving() // it is in what is desired
		want, accepted := n.desired()
		n.accepted.narrow(accepted)
		err := apply(ctx, want)
		if leaveOut(accepted, err) {
			n.accepted.set(accepted)
		}
		if err == nil {
			return nil
		}
		if newest, _ := n.desired(); ctx.Err() != nil || slices.Equal(portNames(want), portNames(newest)) {
			return err
		}
	}
}

// leaveOut removes from accepted the links whose ports do not work, and reports whether
// the bridge is otherwise as it should be.
func leaveOut(accepted map[overlay.MAC]*link, err error) bool {
	var ports *ovs.PortsError
	if !errors.As(err, &ports) {
		return err == nil
	}
	maps.DeleteFunc(accepted, func(_ overlay.MAC, l *link) bool { return ports.Ports[l.dev.Name()] != nil })
	return true
}

// ofPort returns the part of an error that concerns one port or the whole bridge: this port
// is not refused because another one does not work.
func ofPort(err error, name string) error {
	var ports *ovs.PortsError
	if !errors.As(err, &ports) {
		return err
	}
	return ports.Ports[name]
}

func portNames(b ovs.Bridge) []string {
	var names []string
	for _, p := range b.Ports {
		names = append(names, p.Name)
	}
	slices.Sort(names)
	return names
}

// desired returns the bridge as it should be, and the source MACs that its flows
// will accept by each link.
func (n *network) desired() (ovs.Bridge, map[overlay.MAC]*link) {
	b := ovs.Bridge{Name: n.bridge, Network: n.spec.ID, Engine: n.engine, MTU: n.spec.MTU, Guard: n.rules.Guard}
	b.Ports = append(b.Ports, ovs.Port{Name: n.fabric.Name(), Role: ovs.Fabric}, ovs.Port{Name: n.asking.Name(), Role: ovs.Asking})
	accepted := map[overlay.MAC]*link{}
	n.mu.Lock()
	attached := slices.DeleteFunc(slices.Collect(maps.Values(n.endpoints)), func(e *endpoint) bool { return !e.attached })
	n.mu.Unlock()
	// As one, or a MAC address that moves between two containers meanwhile is at both.
	claimed := *n.claimer.granted.Load()
	for _, e := range attached {
		if n.there(e) {
			b.Ports = append(b.Ports, n.containerPort(e, claimed[e.spec.ID]))
		}
	}
	links := n.links.all()
	macsOf, elsewhere := n.view.now()
	b.Elsewhere = elsewhere
	for peer, l := range links {
		macs := macsOf[peer]
		b.Ports = append(b.Ports, ovs.Port{Name: l.dev.Name(), Role: ovs.Link, MACs: macs})
		for _, mac := range macs {
			accepted[mac] = l
		}
	}
	return b, accepted
}

// there reports whether the interface of an endpoint exists. It goes away with its
// container when that dies without Docker, and must not keep others off the bridge.
func (n *network) there(e *endpoint) bool {
	if index, err := netdev.Index(e.spec.HostIf); err != nil || index != 0 {
		return true // the switch says what is wrong
	}
	n.mu.Lock()
	current := n.endpoints[e.spec.ID] == e
	n.mu.Unlock()
	if current && !e.gone.Swap(true) {
		n.log.WithField("endpoint", short(e.spec.ID)).Warnf("interface %s of a container is gone: restart the container if it still runs", e.spec.HostIf)
	}
	return false
}

// containerPort describes the port of a container. What another node owns is not the
// container's.
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

// pendingMoves is what the flows do not follow yet.
type pendingMoves struct {
	macs      map[overlay.MAC]nodeid.ID // where they are
	elsewhere map[netip.Addr]bool       // whether another node holds them, if the flows have to know that
}

// applyMoves brings the flows of what has moved to what they should be. Where that does
// not do it fails, and all of the bridge is to be applied.
func (n *network) applyMoves(ctx context.Context) error { return n.moveBy(ctx, n.sw.Move) }

func (n *network) moveBy(ctx context.Context, move func(context.Context, string, ovs.Moves) error) error {
	m := n.view.takeMoving()
	coming, moved := make(map[overlay.MAC]*link, len(m.macs)), ovs.Moves{Stations: make([]ovs.Station, 0, len(m.macs))}
	for mac, at := range m.macs {
		l := n.links.get(at)
		coming[mac] = l
		s := ovs.Station{MAC: mac}
		if l != nil {
			s.Port = l.dev.Name()
		}
		moved.Stations = append(moved.Stations, s)
	}
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
