package driver

import (
	"context"
	"errors"
	"fmt"
	"time"

	docker "github.com/docker/go-plugins-helpers/network"
)

// CreateEndpoint notes what a container will have on a network. The plane is asked
// whether another engine has it, and hears of the endpoint in Join. The answer holds a
// MAC address if Docker gave none, and nothing else: Docker refuses answers that repeat
// its own choices.
func (d *Driver) CreateEndpoint(ctx context.Context, req *docker.CreateEndpointRequest) (*docker.CreateEndpointResponse, error) {
	if err := errors.Join(checkID("network", req.NetworkID), checkID("endpoint", req.EndpointID)); err != nil {
		return nil, err
	}
	if err := d.refused(); err != nil {
		return nil, err
	}
	ifName, err := checkEndpointOptions(req.Options, d.watch.engineVersion())
	if err != nil {
		return nil, err
	}
	n, leave, err := d.table.enter(ctx, req.NetworkID, share)
	if err != nil {
		return nil, err
	}
	defer leave()
	netRec := d.table.record(n)
	rec, err := d.newEndpointRecord(req, &netRec)
	if err != nil {
		return nil, fmt.Errorf("network %s: %w", netRec.label(), err)
	}
	rec.IfName = ifName
	resp := &docker.CreateEndpointResponse{}
	if !rec.Given {
		resp.Interface = &docker.EndpointInterface{MacAddress: rec.MAC.String()}
	}
	e, err := d.reserveEndpoint(ctx, n, rec)
	if err != nil {
		return nil, fmt.Errorf("network %s: %w", netRec.label(), err)
	}
	if e == nil {
		return resp, nil
	}
	defer d.table.leaveEndpoint(e)
	undo := rollback{log: d.log.WithField("endpoint", short(rec.ID))}
	defer func() { undo.run(ctx) }()
	undo.add(func(context.Context) error { d.table.dropEndpoint(n, e); return nil })
	if n.isReady() {
		if err := d.plane.CheckEndpoint(ctx, rec.spec(false)); err != nil {
			return nil, fmt.Errorf("network %s: %w", netRec.label(), err)
		}
	}
	undo.add(func(context.Context) error { return d.store.Delete(kindEndpoint, rec.key()) })
	if err := d.store.Put(kindEndpoint, rec.key(), rec); err != nil {
		return nil, fmt.Errorf("create endpoint: %w", err)
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("create endpoint: Docker does not wait any more: %w", err)
	}
	undo.commit()
	return resp, nil
}

func (d *Driver) newEndpointRecord(req *docker.CreateEndpointRequest, n *networkRecord) (endpointRecord, error) {
	iface := req.Interface
	if iface == nil {
		iface = &docker.EndpointInterface{}
	}
	addrs, err := parseAddresses(iface, n.Subnets)
	if err != nil {
		return endpointRecord{}, err
	}
	rec := endpointRecord{Network: n.ID, ID: req.EndpointID, Addrs: addrs}
	rec.HostIf, rec.ContainerIf = vethNames(d.engineID, req.EndpointID)
	if iface.MacAddress == "" {
		rec.MAC = deriveMAC(n.macKey(), addrs, req.EndpointID)
		return rec, nil
	}
	mac, err := parseMAC(iface.MacAddress)
	if err != nil {
		return endpointRecord{}, err
	}
	rec.MAC, rec.Given = mac, true
	return rec, nil
}

// reserveEndpoint enters an endpoint into the table with its lock held, once leftovers
// have given way to it. It returns nil when the endpoint exists already and comes of the
// same request.
func (d *Driver) reserveEndpoint(ctx context.Context, n *dockerNetwork, rec endpointRecord) (*dockerEndpoint, error) {
	for {
		e, clash, err := d.table.reserveEndpoint(ctx, n, rec)
		if clash == nil || err != nil {
			return e, err
		}
		if err := d.displace(ctx, n, clash, &rec); err != nil {
			return nil, err
		}
	}
}

// displace removes an endpoint whose addresses another wants, if it is a leftover
// that Docker never asked to delete: its container's interface is gone, or Docker
// gives out its IP address again although nobody joined.
func (d *Driver) displace(ctx context.Context, n *dockerNetwork, e *dockerEndpoint, by *endpointRecord) error {
	if old := d.table.endpointRecord(e); old.Joined {
		d.awaitNoLink(ctx, old.HostIf)
	}
	if err := e.lock.Acquire(ctx, 1); err != nil {
		return fmt.Errorf("endpoint %s is busy with another call: try again", short(by.ID))
	}
	defer e.lock.Release(1)
	s := d.table.endpointState(e)
	if s.gone {
		return nil
	}
	old := s.rec
	leftover := old.shareAddress(by)
	if old.Joined {
		leftover = !d.linkExists(old.HostIf)
	}
	switch {
	case leftover:
		d.log.WithField("endpoint", short(old.ID)).Warn("endpoint without a container gives way to a new one")
		return d.eraseEndpoint(ctx, n, e)
	case old.MAC == by.MAC:
		return fmt.Errorf("MAC address %s is another container's on this network: give a different one", by.MAC)
	default:
		return fmt.Errorf("address %s is another container's on this network: give a different one", old.Addrs[0])
	}
}

// linkPatience is how long an interface may outlive its container. The kernel takes
// network namespaces down in the background, and an engine that comes back after it was
// killed starts its containers again meanwhile.
const linkPatience = 3 * time.Second

// awaitNoLink waits a while for an interface to go. No lock is held, so that calls
// about its endpoint go on.
func (d *Driver) awaitNoLink(ctx context.Context, name string) {
	ctx, cancel := context.WithTimeout(ctx, linkPatience)
	defer cancel()
	tick := time.NewTicker(linkPatience / 100)
	defer tick.Stop()
	for d.linkExists(name) {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// DeleteEndpoint forgets an endpoint, also one that was joined and never left.
func (d *Driver) DeleteEndpoint(ctx context.Context, req *docker.DeleteEndpointRequest) error {
	n, e, leave, err := d.table.enterEndpoint(ctx, req.NetworkID, req.EndpointID)
	if errors.Is(err, errUnknown) {
		host, _ := vethNames(d.engineID, req.EndpointID)
		return d.deleteLink(host)
	}
	if err != nil {
		return err
	}
	defer leave()
	return d.eraseEndpoint(ctx, n, e)
}

// eraseEndpoint removes an endpoint from plane, store and table. Docker has
// forgotten it, so an error keeps nothing of it alive.
func (d *Driver) eraseEndpoint(ctx context.Context, n *dockerNetwork, e *dockerEndpoint) error {
	rec := d.table.endpointRecord(e)
	err := d.detach(ctx, n, e, &rec)
	err = errors.Join(err, d.store.Delete(kindEndpoint, rec.key()))
	d.table.dropEndpoint(n, e)
	if err != nil {
		return fmt.Errorf("delete endpoint: %w", err)
	}
	return nil
}

// EndpointOperInfo returns what evio made of an endpoint. Docker asks it when it
// lists containers, so an unknown endpoint is no error.
func (d *Driver) EndpointOperInfo(ctx context.Context, req *docker.InfoRequest) (*docker.InfoResponse, error) {
	resp := &docker.InfoResponse{Value: map[string]string{}}
	if err := d.table.waitLoaded(ctx); err != nil {
		return nil, err
	}
	if n, e, ok := d.table.records(req.NetworkID, req.EndpointID); ok {
		resp.Value[optionOverlay] = n.Overlay
		resp.Value["evio.mac"] = e.MAC.String()
		resp.Value["evio.interface"] = e.HostIf
	}
	return resp, nil
}
