package network

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"evio/datapath/netdev"
	"evio/datapath/ovs"
	"evio/datapath/tap"
	"evio/driver/network/device"
)

const (
	// lookEvery is how often what is there is compared with what should be.
	lookEvery = 5 * time.Second
	// lookShare bounds what that costs: a look that took a second is followed by a
	// pause of ten.
	lookShare = 10
	// lookTimeout bounds one look, for a switch that does not answer.
	lookTimeout = 10 * time.Second
)

// watch looks after all bridges and for what nothing owns, until the context ends.
func (p *Plane) watch(ctx context.Context, sw *ovs.Switch) {
	p.keepLooking(ctx, lookEvery, p.owned, "bridges and devices are not all looked after, trying again", func() error {
		return p.look(ctx, sw)
	})
}

// shieldEvery is how often is looked whether the host is shielded from all ports: what
// was removed is put back sooner than anything else.
const shieldEvery = time.Second

// watchShields looks after the shields of all bridges until the context ends.
func (p *Plane) watchShields(ctx context.Context, sw *ovs.Switch) {
	p.keepLooking(ctx, shieldEvery, nil, "it is not known whether the host is shielded from containers, trying again", func() error {
		return p.lookAtShields(sw)
	})
}

// keepLooking looks once in a while, and when something comes from now, until the context
// ends. It logs each new reason why that fails.
func (p *Plane) keepLooking(ctx context.Context, every time.Duration, now <-chan struct{}, failure string, look func() error) {
	timer := time.NewTimer(every)
	defer timer.Stop()
	for reason := ""; ; {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-now:
		}
		began := time.Now()
		err := look()
		if ctx.Err() != nil {
			return
		}
		switch {
		case err == nil:
			reason = ""
		case err.Error() != reason:
			reason = err.Error()
			p.log.WithError(err).Warn(failure)
		}
		timer.Reset(max(every, lookShare*time.Since(began)))
	}
}

// lookAtShields puts back what is missing of the shields, once.
func (p *Plane) lookAtShields(sw *ovs.Switch) error {
	repaired, err := sw.RepairShields()
	for _, n := range p.running() {
		if drifted, ok := repaired[n.bridge]; ok {
			n.shieldsRepaired(drifted)
		}
	}
	return err
}

// running returns the networks that run.
func (p *Plane) running() []*network {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Collect(maps.Values(p.networks))
}

// shieldsRepaired counts what was put back; nothing was if the bridge has to be applied.
func (n *network) shieldsRepaired(drifted []ovs.Drift) {
	if len(drifted) == 0 {
		n.switched.request()
		return
	}
	n.repaired(drifted, nil)
}

// look does both once.
func (p *Plane) look(ctx context.Context, sw *ovs.Switch) error {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	found, err := sw.Inspect(ctx)
	if found == nil {
		return err
	}
	for _, n := range p.running() {
		if drifted, ok := found.Drifted[n.bridge]; ok {
			n.drift(drifted)
		}
		n.markBridge(found.Devices)
		n.followSwitch()
	}
	return errors.Join(err, p.sweep(ctx, sw, found))
}

// drift has the applier put right what was found. Devices that are gone it finds by
// itself: a TAP is opened again, a container's interface left out of the bridge.
func (n *network) drift(found []ovs.Drift) {
	n.repairs.add(slices.DeleteFunc(slices.Clone(found), func(d ovs.Drift) bool { return d.Kind == ovs.DriftMissing })...)
	n.switched.request()
}

// renewPorts opens TAPs again that were found missing when the bridge was applied, for
// instance because one was given another name: its reader does not notice that.
func (n *network) renewPorts(err error) {
	broken, ok := errors.AsType[*ovs.PortsError](err)
	if !ok {
		return
	}
	devices := []tap.Device{n.fabric, n.asking}
	for _, l := range n.links.all() {
		devices = append(devices, l.dev)
	}
	for _, d := range devices {
		p, ours := d.(*device.Port)
		if !ours || broken.Ports[p.Name()] == nil {
			continue
		}
		if index, err := netdev.Index(p.Name()); err == nil && index == 0 {
			p.Renew()
		}
	}
}

// portAgain puts the device of a port that was opened again into the bridge. One that somebody
// took away is a repair.
func (n *network) portAgain(name string, lost bool) {
	if lost {
		n.repairs.add(ovs.Drift{Kind: ovs.DriftDevice, Port: name, Text: fmt.Sprintf("device %s was deleted", name)})
	}
	n.switched.request()
}

// repaired counts and logs what an application of the bridge has put right, or keeps
// it for the next one.
func (n *network) repaired(drifted []ovs.Drift, err error) {
	if _, ports := errors.AsType[*ovs.PortsError](err); err != nil && !ports {
		n.repairs.putBack(drifted)
		return
	}
	n.repairs.count(drifted)
	for _, d := range drifted {
		n.log.WithField("bridge", n.bridge).Warnf("put right: %s", d.Text)
	}
}

// repairs is what was found to differ from what should be. The zero value is ready; any
// goroutine may use it.
type repairs struct {
	mu      sync.Mutex
	drifted []ovs.Drift       // not put right yet
	done    map[string]uint64 // put right, by kind
}

func (r *repairs) add(found ...ovs.Drift) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.drifted = append(r.drifted, found...)
}

// take returns what is to be put right now.
func (r *repairs) take() []ovs.Drift {
	r.mu.Lock()
	defer r.mu.Unlock()
	d := r.drifted
	r.drifted = nil
	return d
}

// putBack has what was taken be taken again, before what was found since.
func (r *repairs) putBack(drifted []ovs.Drift) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.drifted = append(drifted, r.drifted...)
}

// count counts what was put right.
func (r *repairs) count(drifted []ovs.Drift) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.done == nil && len(drifted) > 0 {
		r.done = map[string]uint64{}
	}
	for _, d := range drifted {
		r.done[string(d.Kind)]++
	}
}

func (r *repairs) counts() map[string]uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.done)
}
