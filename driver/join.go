package driver

import (
	"context"
	"errors"
	"fmt"

	docker "github.com/docker/go-plugins-helpers/network"

	"evio/driver/plane"
)

// Join attaches a container: when it returns, an interface that Docker can move
// into the sandbox is there and its peer is on the bridge.
func (d *Driver) Join(ctx context.Context, req *docker.JoinRequest) (*JoinResponse, error) {
	if err := d.refused(); err != nil {
		return nil, err
	}
	if err := d.joinable(ctx, req.NetworkID); err != nil {
		return nil, err
	}
	n, e, leave, err := d.table.enterEndpoint(ctx, req.NetworkID, req.EndpointID)
	if err != nil {
		return nil, err
	}
	defer leave()
	netRec, before := d.table.record(n), d.table.endpointRecord(e)
	rec := before
	rec.Joined, rec.SandboxKey, rec.Claims = true, req.SandboxKey, nil

	undo := rollback{log: d.log.WithField("endpoint", short(rec.ID))}
	defer func() { undo.run(ctx) }()
	// Stored first: after a crash in between, the interfaces are found by the record.
	before.Joined, before.SandboxKey = false, ""
	undo.add(func(context.Context) error { return d.keepEndpoint(e, before) })
	if err := d.keepEndpoint(e, rec); err != nil {
		return nil, fmt.Errorf("attach the container to network %s: %w", netRec.label(), err)
	}
	undo.add(func(ctx context.Context) error { return d.detach(ctx, n, e, &rec) })
	if err := d.plane.AddEndpoint(ctx, rec.spec(false)); err != nil {
		return nil, fmt.Errorf("attach the container to network %s: %w", netRec.label(), err)
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("attach the container to network %s: Docker does not wait any more: %w", netRec.label(), err)
	}
	undo.commit()
	d.table.setInPlane(e, true)
	d.warnIfName(&rec)
	resp := &JoinResponse{InterfaceName: rec.interfaceName(&netRec)}
	resp.DisableGatewayService = netRec.Gateway == plane.GatewayNone || netRec.Internal
	return resp, nil
}

// joinable waits until the plane has the network. The gate is not held meanwhile.
func (d *Driver) joinable(ctx context.Context, networkID string) error {
	n, leave, err := d.table.enter(ctx, networkID, share)
	if err != nil {
		return err
	}
	leave()
	return d.table.waitReady(ctx, n)
}

// Leave detaches a container.
func (d *Driver) Leave(ctx context.Context, req *docker.LeaveRequest) error {
	n, e, leave, err := d.table.enterEndpoint(ctx, req.NetworkID, req.EndpointID)
	if errors.Is(err, errUnknown) {
		return nil
	}
	if err != nil {
		return err
	}
	defer leave()
	rec := d.table.endpointRecord(e)
	if !rec.Joined {
		return nil
	}
	err = d.detach(ctx, n, e, &rec)
	rec.Joined, rec.SandboxKey, rec.Claims = false, "", nil
	if err = errors.Join(err, d.keepEndpoint(e, rec)); err != nil {
		return fmt.Errorf("detach the container from network %s: %w", d.table.label(n), err)
	}
	return nil
}

// detach takes an endpoint off the plane, and removes its interface if the plane does
// not have the network, or has lost the endpoint.
func (d *Driver) detach(ctx context.Context, n *dockerNetwork, e *dockerEndpoint, rec *endpointRecord) error {
	d.table.setInPlane(e, false)
	var err error
	if n.isReady() {
		err = d.plane.RemoveEndpoint(ctx, rec.Network, rec.ID)
	}
	return errors.Join(err, d.deleteLink(rec.HostIf))
}

// keepEndpoint stores a record and makes it the endpoint's.
func (d *Driver) keepEndpoint(e *dockerEndpoint, rec endpointRecord) error {
	if err := d.store.Put(kindEndpoint, rec.key(), rec); err != nil {
		return err
	}
	d.table.setEndpointRecord(e, rec)
	return nil
}
