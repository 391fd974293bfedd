package driver

import (
	"maps"
	"slices"

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
