package ovs

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"evio/datapath/netdev"
)

// Kind says what of a bridge somebody has changed.
type Kind string

// Kinds of drift.
const (
	DriftBridge   Kind = "bridge"   // it was deleted
	DriftSettings Kind = "settings" // of the bridge
	DriftPort     Kind = "port"     // one was taken off, added or changed
	DriftFlows    Kind = "flows"    // some were deleted, added or changed
	DriftDevice   Kind = "device"   // one of a port was set down or given another MTU
	DriftAddress  Kind = "address"  // the host was given one on a port's device, or on the bridge's own
	DriftShield   Kind = "shield"   // what keeps the host's stack from a device was removed; not found by Inspect
	DriftSocket   Kind = "socket"   // the own switch opened a device anew
	// DriftMissing: a port's device is gone, or another has its name. Apply says so or
	// takes the new one; it is the caller's to make one.
	DriftMissing Kind = "missing"
)

// Drift is one thing of a bridge that is not as Apply has left it.
type Drift struct {
	Kind Kind
	Port string // which one, if it is about a port
	Text string // what happened, for people
}

// Owned is a bridge that is evio's.
type Owned struct{ Name, Network, Engine string }

// Findings is what Inspect has found.
type Findings struct {
	Bridges []Owned                  // all on the switch, of whatever engine, sorted by name
	Drifted map[string][]Drift       // by bridge: what the next Apply of it has to put right
	Devices map[string]netdev.Device // all of the machine, by name
}

// Inspect compares all bridges that were applied with what is there, and changes
// nothing. It costs one read of the database and of the kernel's lists of devices and addresses, and
// one start of a program per bridge; nobody waits for it. Bridges on which somebody
// works meanwhile are left out. The error is about what could not be looked at; what
// could is in the findings all the same.
func (s *Switch) Inspect(ctx context.Context) (*Findings, error) {
	ctx, cancel := context.WithTimeout(ctx, applyTimeout)
	defer cancel()
	// Remembered first and looked at afterwards: what is found in between by others'
	// work is given up in doubt.
	known := s.memories()
	o, err := s.programs.read(ctx)
	if err != nil {
		return nil, fmt.Errorf("inspect bridges: %w", err)
	}
	f := &Findings{Drifted: map[string][]Drift{}}
	if f.Devices, err = netdev.Devices(); err != nil {
		return nil, fmt.Errorf("inspect bridges: %w", err)
	}
	addresses, err := netdev.HostAddresses()
	if err != nil {
		return nil, fmt.Errorf("inspect bridges: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(o.bridges)) {
		if b := o.bridges[name]; b.ours {
			f.Bridges = append(f.Bridges, Owned{Name: name, Network: b.network, Engine: b.engine})
		}
	}
	var errs []error
	for _, m := range known {
		drifts := m.compare(s.info.Datapath, o, f.Devices)
		drifts = append(drifts, m.compareAddresses(f.Devices, addresses)...)
		if _, ok := o.bridges[m.bridge.Name]; ok {
			have, err := s.dump(ctx, m.bridge.Name)
			if err != nil {
				errs = append(errs, fmt.Errorf("inspect bridge %s: %w", m.bridge.Name, err))
				continue
			}
			drifts = append(drifts, m.compareFlows(have)...)
			opened, err := s.compareSockets(m)
			if err != nil {
				errs = append(errs, fmt.Errorf("inspect bridge %s: %w", m.bridge.Name, err))
			}
			drifts = append(drifts, opened...)
		}
		if len(drifts) > 0 && s.doubt(m) {
			f.Drifted[m.bridge.Name] = drifts
		}
	}
	return f, errors.Join(errs...)
}

// memories returns what is remembered of the bridges on which nobody works.
func (s *Switch) memories() []memory {
	s.mu.Lock()
	names := slices.Sorted(maps.Keys(s.bridges))
	s.mu.Unlock()
	var all []memory
	for _, name := range names {
		st := s.look(name)
		if st == nil {
			continue
		}
		if st.applied != nil && !st.doubted && st.generation == s.generation.Load() {
			m := st.memory
			m.reach, m.applied = maps.Clone(st.reach), maps.Clone(st.applied) // Move goes on with these
			all = append(all, m)
		}
		s.release(name, st)
	}
	return all
}

// doubt makes the next Apply look at everything, and reports false if the bridge was
// worked on since it was remembered.
func (s *Switch) doubt(m memory) bool {
	st := s.look(m.bridge.Name)
	if st == nil {
		return false
	}
	defer s.release(m.bridge.Name, st)
	if st.applied == nil || st.serial != m.serial || m.generation != s.generation.Load() {
		return false
	}
	st.doubted = true
	return true
}

// compare finds what differs in the database and among the devices. Ports that did not
// work are left out: Apply has named them.
func (m *memory) compare(datapath string, o *observed, devices map[string]netdev.Device) []Drift {
	have, ok := o.bridges[m.bridge.Name]
	if !ok {
		return []Drift{{Kind: DriftBridge, Text: "the bridge was deleted"}}
	}
	var found []Drift
	add := func(kind Kind, port, format string, args ...any) {
		found = append(found, Drift{Kind: kind, Port: port, Text: fmt.Sprintf(format, args...)})
	}
	names := have.changed(m.bridge, datapath)
	if o.interfaces[m.bridge.Name].mtu != m.bridge.MTU {
		names = append(names, "mtu_request")
	}
	if len(names) > 0 {
		add(DriftSettings, "", "settings were changed: %s", strings.Join(names, ", "))
	}
	wanted := map[string]bool{}
	for _, p := range m.bridge.Ports {
		wanted[p.Name] = true
		number, worked := m.ofports[p.Name]
		if !worked {
			continue
		}
		d, i := devices[p.Name], o.interfaces[p.Name]
		switch {
		case d.Index != m.index[p.Name]:
			add(DriftMissing, p.Name, "the device of port %s was deleted", p.Name)
			continue
		case !slices.Contains(have.ports, p.Name):
			add(DriftPort, p.Name, "port %s was deleted", p.Name)
		case i.ofport != number || i.role != p.Role.String() || i.problem != "":
			add(DriftPort, p.Name, "port %s was changed", p.Name)
		}
		if !d.Ready || d.MTU != m.bridge.mtuOf(p.Name) {
			add(DriftDevice, p.Name, "device %s was set down, or its MTU or flags were changed", p.Name)
		}
	}
	for _, name := range have.ports {
		if !wanted[name] {
			add(DriftPort, name, "port %s was added", name)
		}
	}
	return found
}

// compareAddresses finds addresses of the host on devices of the bridge, on which it has to
// be silent.
func (m *memory) compareAddresses(devices map[string]netdev.Device, addresses map[int][]netip.Prefix) []Drift {
	var found []Drift
	for _, name := range append(slices.Sorted(maps.Keys(m.ofports)), m.bridge.Name) {
		d, ok := devices[name]
		index, port := m.index[name]
		if !ok || port && index != d.Index || len(addresses[d.Index]) == 0 {
			continue
		}
		text := fmt.Sprintf("device %s was given addresses of the host: %s", name, strings.Trim(fmt.Sprint(addresses[d.Index]), "[]"))
		found = append(found, Drift{Kind: DriftAddress, Port: name, Text: text})
	}
	return found
}

// compareFlows finds what differs in the flow table.
func (m *memory) compareFlows(have []entry) []Drift {
	c := diff(have, m.reach.entries(m.applied))
	if c.empty() {
		return nil
	}
	return []Drift{{
		Kind: DriftFlows, Text: fmt.Sprintf("flows were changed: %d had to be deleted, %d to be added", len(c.del), len(c.add)),
	}}
}
