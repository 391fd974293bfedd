package driver

import (
	"context"
	"errors"
	"fmt"

	docker "github.com/docker/go-plugins-helpers/network"

	"evio/driver/plane"
)

// CreateNetwork makes a network. The same request again succeeds; a request that
// fails leaves nothing.
func (d *Driver) CreateNetwork(ctx context.Context, req *docker.CreateNetworkRequest) error {
	if err := d.refused(); err != nil {
		return err
	}
	rec, err := newNetworkRecord(req, d.watch.engineVersion())
	if err != nil {
		return err
	}
	if err := d.table.waitLoaded(ctx); err != nil {
		return err
	}
	n, err := d.table.reserve(ctx, rec)
	if n == nil || err != nil {
		return err
	}
	defer d.table.leave(n, whole)
	undo := rollback{log: d.log.WithField("network", short(rec.ID))}
	defer func() { undo.run(ctx) }()
	// Also what the plane only began is removed.
	begun := true
	undo.add(func(ctx context.Context) error {
		if !begun {
			d.table.dropNetwork(n)
			return nil
		}
		if err := d.erase(ctx, n); err != nil {
			return d.eraseInBackground(ctx, n, err)
		}
		return nil
	})
	if err := d.plane.AddNetwork(ctx, rec.spec()); err != nil {
		_, unavailable := errors.AsType[plane.Unavailable](err)
		begun = !unavailable
		return fmt.Errorf("create network: %w", err)
	}
	if err := d.store.Put(kindNetwork, rec.ID, rec); err != nil {
		return fmt.Errorf("create network: %w", err)
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("create network: Docker does not wait any more: %w", err)
	}
	undo.commit()
	close(n.ready)
	if d.asker.wants(d.table.record(n)) {
		d.table.background(context.WithoutCancel(ctx), n, func(ctx context.Context) { d.asker.ask(ctx, n) })
	}
	return nil
}

func newNetworkRecord(req *docker.CreateNetworkRequest, engine engineVersion) (networkRecord, error) {
	if err := checkID("network", req.NetworkID); err != nil {
		return networkRecord{}, err
	}
	options, err := parseNetworkOptions(req.Options, engine)
	if err != nil {
		return networkRecord{}, err
	}
	subnets, err := parsePools(req.IPv4Data, req.IPv6Data)
	if err != nil {
		return networkRecord{}, err
	}
	gateways, err := parseGateways(req.IPv4Data, req.IPv6Data)
	if err != nil {
		return networkRecord{}, err
	}
	ipv6 := options.IPv6
	for _, s := range subnets {
		ipv6 = ipv6 || s.Addr().Is6()
	}
	if ipv6 {
		if err := checkMTU6(options.MTU); err != nil {
			return networkRecord{}, err
		}
	}
	if len(subnets) == 0 && options.Guard == plane.GuardStrict {
		return networkRecord{}, fmt.Errorf("option %s=%s lets containers speak with Docker's addresses only, and the network has none (--ipam-driver null): give it a --subnet, or %s=%s", optionGuard, plane.GuardStrict, optionGuard, plane.GuardClaim)
	}
	return networkRecord{
		ID: req.NetworkID, Overlay: options.Overlay, Named: options.Overlay != "",
		Gateway: options.Gateway, Encryption: options.Encryption, Guard: options.Guard, MTU: options.MTU, Internal: options.Internal, IfPrefix: options.IfPrefix,
		Subnets: subnets, Gateways: gateways,
	}, nil
}

// DeleteNetwork removes a network with what is left of its endpoints. Docker
// forgets the network whatever the answer is, so its overlay and ID are free from
// now on, and what cannot be removed at once is removed in the background, also
// after a restart.
func (d *Driver) DeleteNetwork(ctx context.Context, req *docker.DeleteNetworkRequest) error {
	n, leave, err := d.table.enter(ctx, req.NetworkID, whole)
	if errors.Is(err, errUnknown) {
		d.deleteUnknown(ctx, req.NetworkID)
		return nil
	}
	if err != nil {
		return err
	}
	defer leave()
	return d.remove(ctx, n)
}

// remove takes a network whose gate is held out of the table, now or later.
func (d *Driver) remove(ctx context.Context, n *dockerNetwork) error {
	n.stop()
	err := n.stopped(ctx)
	if err == nil {
		err = d.erase(ctx, n)
	}
	if err == nil {
		return nil
	}
	return fmt.Errorf("remove network %s: it goes on in the background: %w", d.table.label(n), d.eraseInBackground(ctx, n, err))
}

// eraseInBackground goes on removing a network that nobody wants any more, also after
// a restart, and returns why that was necessary. The network's gate is held.
func (d *Driver) eraseInBackground(ctx context.Context, n *dockerNetwork, why error) error {
	rec := d.table.setRemoved(n, why)
	// Before the background begins, or it would come back after it was erased.
	if err := d.store.Put(kindNetwork, rec.ID, rec); err != nil {
		// What is left of it in the switch is less than a network that comes back.
		why = errors.Join(why, err, d.store.Delete(kindNetwork, rec.ID))
	}
	if d.refused() == nil {
		d.table.background(context.WithoutCancel(ctx), n, func(ctx context.Context) { d.restorer.eraseLater(ctx, n) })
	}
	return why
}

// deleteUnknown has the plane look for remains of a network the store has lost.
func (d *Driver) deleteUnknown(ctx context.Context, id string) {
	if id == "" || d.table.network(id) != nil || d.refused() != nil {
		return
	}
	if err := d.plane.RemoveNetwork(ctx, id); err != nil {
		d.log.WithField("network", short(id)).WithError(err).Warn("remains of an unknown network were not removed")
	}
}

// erase removes a network from plane, store and table.
func (d *Driver) erase(ctx context.Context, n *dockerNetwork) error {
	if err := d.refused(); err != nil {
		return err
	}
	rec := d.table.record(n)
	if err := d.plane.RemoveNetwork(ctx, rec.ID); err != nil {
		return err
	}
	for _, e := range d.table.endpointsOf(n) {
		ep := d.table.endpointRecord(e)
		if err := d.store.Delete(kindEndpoint, ep.key()); err != nil {
			return err
		}
		d.table.dropEndpoint(n, e)
	}
	if err := d.store.Delete(kindNetwork, rec.ID); err != nil {
		return err
	}
	d.table.dropNetwork(n)
	return nil
}
