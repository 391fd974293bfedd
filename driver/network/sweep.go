package network

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"evio/datapath/netdev"
	"evio/datapath/ovs"
	"evio/driver/network/device"
)

// removeTimeout bounds the removal of one bridge that nothing owns.
const removeTimeout = 5 * time.Second

// Sweep implements plane.Plane.
func (p *Plane) Sweep(owners func() map[string][]string) {
	p.mu.Lock()
	p.owners = owners
	p.mu.Unlock()
	select {
	case p.owned <- struct{}{}:
	default:
	}
}

// orphan is a bridge or a device that nothing owns. A device is known by its number in
// the kernel too: another one may be made under its name.
type orphan struct {
	name  string
	index int // 0: a bridge
}

// ownership is who owns bridges and devices.
type ownership struct {
	engine  string
	wanted  map[string]map[string]bool // by network, its endpoints
	running map[string]map[string]bool // by network that runs, the devices it uses
}

// orphans returns what bears this engine's mark and belongs to nothing. A bridge of a
// version that did not mark the engine is recognized by its name.
func (o *ownership) orphans(bridges []ovs.Owned, devices map[string]netdev.Device) map[orphan]bool {
	found := map[orphan]bool{}
	for _, b := range bridges {
		ours := b.Engine == o.engine
		if b.Engine == "" {
			ours = b.Name == device.Name(device.BridgePrefix, o.engine, b.Network)
		}
		if ours && !o.has(b.Network) {
			found[orphan{name: b.Name}] = true
		}
	}
	for _, d := range devices {
		if slices.ContainsFunc(bridges, func(b ovs.Owned) bool { return b.Name == d.Name }) {
			continue // it goes with the bridge
		}
		if of, ours := device.ReadMark(o.engine, d.Mark); ours && !o.uses(of, d.Name) {
			found[orphan{name: d.Name, index: d.Index}] = true
		}
	}
	return found
}

// has reports whether there is such a network.
func (o *ownership) has(network string) bool {
	_, runs := o.running[network]
	return o.wanted[network] != nil || runs
}

// uses reports whether a device serves a network or an endpoint. A network that does
// not run yet may be about to open its TAPs.
func (o *ownership) uses(of device.Owner, device string) bool {
	used, runs := o.running[of.Network]
	switch {
	case used[device]:
		return true
	case of.Endpoint != "":
		return o.wanted[of.Network][of.Endpoint]
	}
	return !runs && o.wanted[of.Network] != nil
}

// sweep removes what was found twice, at least a look apart, and belongs to nothing.
// Owners are asked after the look: what a call made before it has an owner by now.
func (p *Plane) sweep(ctx context.Context, sw *ovs.Switch, found *ovs.Findings) error {
	o := p.ownership()
	if o == nil {
		return nil
	}
	now := o.orphans(found.Bridges, found.Devices)
	before := p.suspects
	p.suspects = now
	var errs []error
	for _, t := range slices.SortedFunc(maps.Keys(now), func(a, b orphan) int { return cmp.Compare(a.name, b.name) }) {
		if !before[t] {
			continue
		}
		if err := remove(ctx, sw, t, found.Devices); err != nil {
			errs = append(errs, fmt.Errorf("remove what no network owns: %w", err))
			continue
		}
		delete(now, t)
		p.mu.Lock()
		p.swept++
		p.mu.Unlock()
		if t.index == 0 {
			p.log.WithField("bridge", t.name).Warn("removed a bridge that no network owned")
		} else {
			p.log.WithField("port", t.name).Warnf("removed a device that nothing owned: %s", found.Devices[t.name].Mark)
		}
	}
	return errors.Join(errs...)
}

func remove(ctx context.Context, sw *ovs.Switch, t orphan, devices map[string]netdev.Device) error {
	if t.index != 0 {
		return netdev.DeleteExact(devices[t.name])
	}
	ctx, cancel := context.WithTimeout(ctx, removeTimeout)
	defer cancel()
	return sw.Delete(ctx, t.name)
}

// ownership returns who owns what at present; nil while that is not known.
func (p *Plane) ownership() *ownership {
	p.mu.Lock()
	owners := p.owners
	p.mu.Unlock()
	if owners == nil {
		return nil
	}
	o := &ownership{engine: p.engine, wanted: map[string]map[string]bool{}, running: map[string]map[string]bool{}}
	for network, endpoints := range owners() {
		o.wanted[network] = map[string]bool{}
		for _, id := range endpoints {
			o.wanted[network][id] = true
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for id, n := range p.networks {
		o.running[id] = n.devices()
	}
	return o
}

// markBridge marks a bridge's own device, which the switch makes. In user space the
// kernel keeps it when the switch is killed.
func (n *network) markBridge(devices map[string]netdev.Device) {
	d, mark := devices[n.bridge], device.Mark(n.engine, n.spec.ID)
	if d.Index == 0 || d.Mark == mark {
		return
	}
	if err := device.SetMark(d.Name, mark); err != nil {
		n.log.WithField("bridge", n.bridge).WithError(err).Debug("device not marked")
	}
}

// devices returns the names of the devices that a network uses.
func (n *network) devices() map[string]bool {
	used := map[string]bool{n.bridge: true, n.fabric.Name(): true, n.asking.Name(): true}
	for _, l := range n.links.all() {
		used[l.dev.Name()] = true
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, e := range n.endpoints {
		used[e.spec.HostIf] = true
	}
	return used
}
