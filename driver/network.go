package driver

import (
	"context"
	"errors"
	"fmt"

	"github.com/docker/go-plugins-helpers/network"

	"evio/driver/plane"
)

// CreateNetwork makes a network. The same request again succeeds; a request that
// fails leaves nothing.
func (d *Driver) CreateNetwork(ctx context.Context, req *network.CreateNetworkRequest) error {
	if err := d.refused(); err != nil {
		return err
	}
	rec, err := newNetworkRecord(req, d.engineVersion())
	if err != nil {
		return err
	}
	if err := d.waitLoaded(ctx); err != nil {
		return err
	}
	n, err := d.reserve(ctx, rec)
	if n == nil || err != nil {
		return err
	}
	defer func() { d.end(&n.work); n.gate.Release(whole) }()
	undo := rollback{log: d.log.WithField("network", short(rec.ID))}
	defer func() { undo.run(ctx) }()
	// Also what the plane only began is removed.
	begun := true
	undo.add(func(ctx context.Context) error {
		if !begun {
			d.dropNetwork(n)
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
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.wantsEngineLocked(&n.rec) {
		d.backgroundLocked(context.WithoutCancel(ctx), n, func(ctx context.Context) { d.askEngine(ctx, n) })
	}
	return nil
}

func newNetworkRecord(req *network.CreateNetworkRequest, engine engineVersion) (networkRecord, error) {
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

// reserve enters a network into the table, with its gate held, so that its ID and
// its overlay are taken from now on. It returns nil when the network exists already
// and comes of the same request.
func (d *Driver) reserve(ctx context.Context, rec networkRecord) (*dockerNetwork, error) {
	for {
		d.mu.Lock()
		n := d.networks[rec.ID]
		if n == nil {
			defer d.mu.Unlock()
			return d.reserveLocked(rec)
		}
		removed := n.rec.Removed
		d.mu.Unlock()
		if removed {
			return nil, fmt.Errorf("network %s is still being removed: try again", short(rec.ID))
		}
		if err := n.gate.Acquire(ctx, share); err != nil {
			return nil, fmt.Errorf("network %s is busy with another call: try again", short(rec.ID))
		}
		d.mu.Lock()
		gone, known := n.gone, n.rec
		d.touchLocked(&n.work)
		d.mu.Unlock()
		n.gate.Release(share)
		if gone {
			continue
		}
		if !known.sameRequest(&rec) {
			return nil, fmt.Errorf("network %s exists with other settings: remove it first", known.label())
		}
		return nil, nil
	}
}

func (d *Driver) reserveLocked(rec networkRecord) (*dockerNetwork, error) {
	if d.closed {
		return nil, errors.New("evio is stopping: try again when it runs")
	}
	if rec.Overlay != "" {
		if other := d.overlayUserLocked(rec.Overlay); other != nil {
			return nil, fmt.Errorf("overlay %s is used by network %s of this engine already: connect containers to that one, or give another %s",
				rec.Overlay, other.rec.label(), optionOverlay)
		}
	}
	n := newDockerNetwork(rec)
	n.gate.TryAcquire(whole)
	d.beginLocked(&n.work)
	d.networks[rec.ID] = n
	return n, nil
}

// overlayUserLocked returns the network of this engine that uses the overlay.
func (d *Driver) overlayUserLocked(overlay string) *dockerNetwork {
	for _, n := range d.networks {
		if n.rec.Overlay == overlay && !n.rec.Removed {
			return n
		}
	}
	return nil
}

// DeleteNetwork removes a network with what is left of its endpoints. Docker
// forgets the network whatever the answer is, so its overlay and ID are free from
// now on, and what cannot be removed at once is removed in the background, also
// after a restart.
func (d *Driver) DeleteNetwork(ctx context.Context, req *network.DeleteNetworkRequest) error {
	n, leave, err := d.enter(ctx, req.NetworkID, whole)
	if errors.Is(err, errUnknown) {
		return d.deleteUnknown(ctx, req.NetworkID)
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
	return fmt.Errorf("remove network %s: it goes on in the background: %w", d.label(n), d.eraseInBackground(ctx, n, err))
}

// eraseInBackground goes on removing a network that nobody wants any more, also after
// a restart, and returns why that was necessary. The network's gate is held.
func (d *Driver) eraseInBackground(ctx context.Context, n *dockerNetwork, why error) error {
	d.mu.Lock()
	n.rec.Removed = true
	n.fault = why
	rec := n.rec
	d.mu.Unlock()
	// Before the background begins, or it would come back after it was erased.
	if err := d.store.Put(kindNetwork, rec.ID, rec); err != nil {
		// What is left of it in the switch is less than a network that comes back.
		why = errors.Join(why, err, d.store.Delete(kindNetwork, rec.ID))
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fault == nil {
		d.backgroundLocked(context.WithoutCancel(ctx), n, func(ctx context.Context) { d.eraseLater(ctx, n) })
	}
	return why
}

// deleteUnknown has the plane look for remains of a network the store has lost.
func (d *Driver) deleteUnknown(ctx context.Context, id string) error {
	d.mu.Lock()
	_, removing := d.networks[id]
	usable := d.fault == nil
	d.mu.Unlock()
	if removing || !usable || id == "" {
		return nil
	}
	if err := d.plane.RemoveNetwork(ctx, id); err != nil {
		d.log.WithField("network", short(id)).WithError(err).Warn("remains of an unknown network were not removed")
	}
	return nil
}

// erase removes a network from plane, store and table.
func (d *Driver) erase(ctx context.Context, n *dockerNetwork) error {
	if err := d.refused(); err != nil {
		return err
	}
	rec := d.record(n)
	if err := d.plane.RemoveNetwork(ctx, rec.ID); err != nil {
		return err
	}
	for _, e := range d.endpointsOf(n) {
		ep := d.endpointRecord(e)
		if err := d.store.Delete(kindEndpoint, ep.key()); err != nil {
			return err
		}
		d.dropEndpoint(n, e)
	}
	if err := d.store.Delete(kindNetwork, rec.ID); err != nil {
		return err
	}
	d.dropNetwork(n)
	return nil
}
