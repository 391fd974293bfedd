package driver

import (
	"maps"
	"slices"

	"evio/driver/collector"
	"evio/driver/status"
)

// Networks returns what the driver knows of Docker's networks, sorted by ID, for
// the status document; the plane knows the rest.
func (d *Driver) Networks() []status.Network {
	return d.table.status()
}

func (t *table) status() []status.Network {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := []status.Network{}
	for _, n := range t.networksLocked() {
		if n.rec.Removed {
			continue
		}
		s := status.Network{
			ID: n.rec.ID, Name: n.rec.Name, Overlay: n.rec.Overlay, MTU: n.rec.MTU, Local: n.rec.Overlay == "",
			Encryption: n.rec.Encryption, Guard: n.rec.Guard,
		}
		if err := n.faultLocked(); err != nil {
			s.Fault = err.Error()
		}
		for _, id := range slices.Sorted(maps.Keys(n.endpoints)) {
			s.Endpoints = append(s.Endpoints, n.endpoints[id].statusLocked())
		}
		list = append(list, s)
	}
	return list
}

func (e *dockerEndpoint) statusLocked() status.Endpoint {
	s := status.Endpoint{ID: e.rec.ID, MAC: e.rec.MAC.String(), Addresses: []string{}, State: e.stateLocked()}
	for _, a := range e.rec.Addrs {
		s.Addresses = append(s.Addresses, a.String())
	}
	if e.rec.Joined {
		s.Interface = e.rec.HostIf
	}
	return s
}

func (e *dockerEndpoint) stateLocked() string {
	if !e.lock.TryAcquire(1) {
		return status.EndpointChanging
	}
	e.lock.Release(1)
	switch {
	case !e.rec.Joined:
		return status.EndpointCreated
	case e.inPlane:
		return status.EndpointAttached
	default:
		return status.EndpointDetached
	}
}

// records returns what is known of an endpoint, also of a network that Docker has
// removed.
func (t *table) records(networkID, endpointID string) (networkRecord, endpointRecord, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := t.networks[networkID]
	if n == nil || n.endpoints[endpointID] == nil {
		return networkRecord{}, endpointRecord{}, false
	}
	return n.rec, n.endpoints[endpointID].rec, true
}

// owners returns the networks with their endpoints, those included that are being made
// or removed.
func (t *table) owners() map[string][]string {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := make(map[string][]string, len(t.networks))
	for id, n := range t.networks {
		all[id] = slices.Collect(maps.Keys(n.endpoints))
	}
	return all
}

// holdings returns what is stored. What Docker has removed already is in it as busy.
func (t *table) holdings() map[collector.Key]collector.Object {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := map[collector.Key]collector.Object{}
	for id, n := range t.networks {
		all[collector.Key{Network: id}] = collector.Object{
			Version: n.work.version, Busy: n.work.calls > 0 || n.rec.Removed, Known: n.rec.Name != "",
		}
		for endpoint, e := range n.endpoints {
			all[collector.Key{Network: id, Endpoint: endpoint}] = collector.Object{
				Version: e.work.version, Busy: e.work.calls > 0 || n.rec.Removed,
			}
		}
	}
	return all
}

// unchanged reports whether a network is as it was in the version of a look, so that it
// may be removed. The gate is held alone.
func (t *table) unchanged(n *dockerNetwork, version uint64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return !n.gone && !n.rec.Removed && !t.closed && n.work.version == version
}

// endpointUnchanged is unchanged for an endpoint, whose lock is held.
func (t *table) endpointUnchanged(n *dockerNetwork, e *dockerEndpoint, version uint64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return !n.gone && !n.rec.Removed && !e.gone && !t.closed && e.work.version == version
}

// faults returns one sentence for each network that is not as it should be.
func (t *table) faults() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var faults []string
	for _, n := range t.networksLocked() {
		if err := n.faultLocked(); err != nil {
			faults = append(faults, "network "+n.rec.label()+": "+sentence(err))
		}
	}
	return faults
}

// sameIfPrefix counts the other interfaces of evio that the container has and that are
// numbered behind the same prefix.
func (t *table) sameIfPrefix(rec *endpointRecord, prefix string) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	found := 0
	for _, n := range t.networks {
		for _, e := range n.endpoints {
			if e.rec.ID != rec.ID && e.rec.Joined && e.rec.SandboxKey == rec.SandboxKey && e.rec.interfaceName(&n.rec).DstPrefix == prefix {
				found++
			}
		}
	}
	return found
}
