package driver

import (
	"maps"
	"slices"

	"evio/driver/status"
)

// Networks returns what the driver knows of Docker's networks, sorted by ID, for
// the status document; the plane knows the rest.
func (d *Driver) Networks() []status.Network {
	d.mu.Lock()
	defer d.mu.Unlock()
	list := []status.Network{}
	for _, n := range d.networksLocked() {
		if n.rec.Removed {
			continue
		}
		s := status.Network{
			ID: n.rec.ID, Name: n.rec.Name, Overlay: n.rec.Overlay, MTU: n.rec.MTU, Local: n.rec.Overlay == "",
			Encryption: n.rec.Encryption,
		}
		for _, id := range slices.Sorted(maps.Keys(n.endpoints)) {
			s.Endpoints = append(s.Endpoints, n.endpoints[id].rec.status())
		}
		list = append(list, s)
	}
	return list
}

func (r *endpointRecord) status() status.Endpoint {
	e := status.Endpoint{ID: r.ID, MAC: r.MAC.String(), Addresses: []string{}}
	for _, a := range r.Addrs {
		e.Addresses = append(e.Addresses, a.String())
	}
	if r.Joined {
		e.Interface = r.HostIf
	}
	return e
}
