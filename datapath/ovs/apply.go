package ovs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"evio/datapath/netdev"
)

// bridgeState is what is remembered of a bridge between two Applies.
type bridgeState struct {
	turn  chan struct{} // holds a token while nobody works on the bridge
	users int           // guarded by Switch.mu

	// The rest belongs to whoever has the turn.
	memory
	shut       map[string]bool // devices that were set down for want of a shield
	doubted    bool            // somebody has changed the bridge: look at everything
	lastOfport int
}

// memory is what an Apply has left; its maps and slices are never changed again, except for
// applied and reach, which Move changes.
type memory struct {
	bridge     Bridge           // without what reach says
	applied    map[string]entry // flows that are there, except for those of reach; nil: not known
	reach      reach
	local      map[MAC]bool    // of containers with flows
	meters     map[uint16]bool // that are there
	ofports    map[string]int  // of the ports that work
	index      map[string]int  // of their devices
	generation uint64          // of the switch
	serial     uint64          // of the Apply
}

// Apply makes the bridge as described: bridge, ports, flows, in this order, each
// in one transaction. Nothing is started when nothing changed. Ports and settings
// that others changed are put right; flows and devices are looked at after a restart
// of the switch, and when Inspect has found something. Ports that cannot be opened
// are named in a PortsError, after everything else was done.
//
// Applies of different bridges run at once; those of one bridge one after another.
func (s *Switch) Apply(ctx context.Context, b Bridge) error {
	if err := b.Validate(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, applyTimeout)
	defer cancel()
	st, err := s.take(ctx, b.Name)
	if err != nil {
		return err
	}
	defer s.release(b.Name, st)
	if err := s.applyLocked(ctx, st, b); err != nil {
		return fmt.Errorf("apply bridge %s: %w", b.Name, err)
	}
	return nil
}

// applyLocked works on a bridge whose turn the caller has.
func (s *Switch) applyLocked(ctx context.Context, st *bridgeState, b Bridge) error {
	generation, check := s.generation.Load(), ""
	if st.doubted || st.applied == nil || st.generation != generation {
		st.applied, check = nil, strconv.FormatInt(time.Now().UnixNano(), 36)
	}
	problems := broken{}
	index := devices(b, problems)
	s.shieldNew(st, b, index, check != "", problems)
	o, err := s.programs.read(ctx)
	if err != nil {
		return err
	}
	st.recognise(b.Name, o)
	t, err := plan(b, s.info.Datapath, o, index, st.lastOfport, check)
	if err != nil {
		return err
	}
	// A switch that goes on under a database made anew still has the flows of a bridge
	// that it had before.
	known := st.bridge.Name != ""
	before := st.memory
	st.applied = nil // until the end is reached
	if len(t.args) > 0 {
		st.lastOfport = t.last
		if err := s.programs.vsctl(ctx, t.args...); err != nil {
			return err
		}
		if o, err = s.programs.read(ctx); err != nil {
			return err
		}
	}
	if t.created && !known {
		before.applied, before.reach = map[string]entry{}, nil
	}
	ofports := numbers(b, o, index, problems)
	if check != "" {
		if err := ready(b, ofports, problems); err != nil {
			return problems.beside(err)
		}
	}
	// Both before flows lead to them.
	opened := openedPorts(ofports, t.opened, check != "")
	for name, err := range s.shield(opened, index) { // the switch has removed a filter
		st.shutDown(name, err, problems)
		delete(ofports, name)
	}
	s.equip(b, opened, index)
	now := memory{bridge: withoutReach(b), ofports: ofports, index: index, generation: generation}
	if err := s.applyFlows(ctx, b, &before, &now); err != nil {
		return problems.beside(err)
	}
	now.serial = s.serial.Add(1)
	st.memory = now
	st.doubted = false
	return problems.err()
}

// recognise makes a bridge that was applied before ours, whatever somebody did to its
// marks since.
func (st *bridgeState) recognise(name string, o *observed) {
	if have, ok := o.bridges[name]; ok && st.bridge.Name == name {
		have.ours = true
		o.bridges[name] = have
	}
}

// ready sets up the devices of ports that somebody has set down or given another MTU, and
// takes off the addresses that somebody has given them or the bridge's own device. Ports for
// which that fails are taken from ofports and added to the problems.
func ready(b Bridge, ofports map[string]int, problems broken) error {
	all, err := netdev.Devices()
	if err != nil {
		return err
	}
	addresses, err := netdev.HostAddresses()
	if err != nil {
		return err
	}
	for name := range ofports {
		d := all[name]
		var err error
		mtu := b.mtuOf(name)
		changed := !d.Ready || d.MTU != mtu
		if changed {
			err = netdev.SetUp(name, mtu)
		}
		// The kernel begins anew with IPv6 on a device whose MTU was too small for it.
		if err == nil && (changed || len(addresses[d.Index]) > 0) {
			err = netdev.Silence(name)
		}
		if err != nil {
			problems[name] = err
			delete(ofports, name)
		}
	}
	if len(addresses[all[b.Name].Index]) > 0 {
		return netdev.Silence(b.Name)
	}
	return nil
}

// devices returns the kernel's number of each port's device, and adds those that do
// not exist to the problems.
func devices(b Bridge, problems broken) map[string]int {
	index := make(map[string]int, len(b.Ports))
	for _, p := range b.Ports {
		n, err := netdev.Index(p.Name)
		if err == nil && n == 0 {
			err = errors.New("there is no such device")
		}
		if err != nil {
			problems[p.Name] = err
		}
		index[p.Name] = n
	}
	return index
}

// numbers returns the OpenFlow number of each port that works, and adds to the
// problems why the others do not.
func numbers(b Bridge, o *observed, index map[string]int, problems broken) map[string]int {
	ofports := make(map[string]int, len(b.Ports))
	for _, p := range b.Ports {
		i, there := o.interfaces[p.Name]
		switch {
		case index[p.Name] == 0:
		case there && i.ofport > 0 && i.problem == "":
			ofports[p.Name] = i.ofport
		case i.problem != "":
			problems[p.Name] = errors.New(i.problem)
		default:
			problems[p.Name] = errors.New("the switch did not open the device")
		}
	}
	return ofports
}

// openedPorts names the ports that work and were opened, or all.
func openedPorts(ofports map[string]int, opened []string, all bool) []string {
	var names []string
	for name := range ofports {
		if all || slices.Contains(opened, name) {
			names = append(names, name)
		}
	}
	return names
}

// Delete removes a bridge and all its ports. One that is gone is fine; one that is
// not ours is refused.
func (s *Switch) Delete(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, applyTimeout)
	defer cancel()
	st, err := s.take(ctx, name)
	if err != nil {
		return err
	}
	defer s.release(name, st)
	o, err := s.programs.read(ctx)
	if err != nil {
		return fmt.Errorf("delete bridge %s: %w", name, err)
	}
	st.recognise(name, o)
	b, ok := o.bridges[name]
	if !ok {
		st.memory = memory{}
		s.forgetSockets(name)
		return nil
	}
	if !b.ours {
		return fmt.Errorf("delete bridge %s: it is not evio's", name)
	}
	st.memory = memory{}
	if err := s.programs.vsctl(ctx, "--if-exists", "del-br", name); err != nil {
		return fmt.Errorf("delete bridge %s: %w", name, err)
	}
	s.forgetSockets(name)
	return nil
}
