package driver

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	// restoreTimeout bounds one try to hand a network to the plane. It is below
	// callTimeout, so that a Join that waits can say what the try said.
	restoreTimeout = 8 * time.Second
	restoreFirst   = 500 * time.Millisecond
	restoreLimit   = 15 * time.Second
)

// Start loads the store and begins to hand its networks to the plane, in the
// background, until Close or the end of the context. It is called once.
func (d *Driver) Start(ctx context.Context) {
	var fault error
	loaded := map[string]*dockerNetwork{}
	if d.store != nil {
		loaded, fault = d.load()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.started {
		return
	}
	d.started = true
	if d.fault == nil {
		d.fault = fault
	}
	if d.fault != nil {
		d.table.fill(ctx, loaded, nil)
		d.log.WithError(d.fault).Error("networks cannot be created and containers cannot join until this is mended")
		return
	}
	d.beginClaimsLocked(ctx)
	d.table.fill(ctx, loaded, func(n *dockerNetwork, rec networkRecord) func(context.Context) {
		if rec.Removed {
			return func(ctx context.Context) { d.eraseLater(ctx, n) }
		}
		return func(ctx context.Context) { d.restore(ctx, n) }
	})
	d.beginLooksLocked(ctx)
	// What could not be loaded may own something.
	if len(d.store.Faults()) == 0 {
		d.plane.Sweep(d.table.owners)
	}
}

// load reads networks and endpoints. What makes no sense is set aside.
func (d *Driver) load() (map[string]*dockerNetwork, error) {
	networks, err := d.store.Load(kindNetwork)
	if err != nil {
		return map[string]*dockerNetwork{}, err
	}
	endpoints, err := d.store.Load(kindEndpoint)
	if err != nil {
		return map[string]*dockerNetwork{}, err
	}
	table := map[string]*dockerNetwork{}
	users := map[string]string{}
	for _, r := range networks {
		rec, err := decodeNetwork(r.ID, r.Body)
		if err != nil {
			d.store.SetAside(kindNetwork, r.ID, err)
			continue
		}
		if rec.Overlay != "" && !rec.Removed {
			if other, taken := users[rec.Overlay]; taken {
				// A removal that could not be stored leaves this behind.
				d.log.WithField("network", rec.label()).Errorf("network stays local: overlay %s is used by network %s of this engine", rec.Overlay, other)
				rec.Overlay = ""
			} else {
				users[rec.Overlay] = rec.label()
			}
		}
		table[rec.ID] = newDockerNetwork(rec)
	}
	for _, r := range endpoints {
		rec, err := decodeEndpoint(r.ID, r.Body)
		if err != nil {
			d.store.SetAside(kindEndpoint, r.ID, err)
			continue
		}
		n := table[rec.Network]
		if n == nil && d.store.Left(kindNetwork, rec.Network) {
			continue // they are used together again
		}
		if n == nil {
			d.store.SetAside(kindEndpoint, r.ID, fmt.Errorf("network %s is not in the store", short(rec.Network)))
			continue
		}
		n.endpoints[rec.ID] = newDockerEndpoint(rec)
	}
	return table, nil
}

// restore hands a network to the plane, then its living endpoints, and goes on
// until that is done.
func (d *Driver) restore(ctx context.Context, n *dockerNetwork) {
	log := d.log.WithField("network", d.table.label(n))
	var handed []*dockerEndpoint
	if !d.persist(ctx, n, "network does not run yet", func(ctx context.Context) (err error) {
		handed, err = d.handOver(ctx, n)
		return err
	}) {
		return
	}
	close(n.ready)
	log.Info("network runs again")
	if !d.persist(ctx, n, "containers are not all attached yet", func(ctx context.Context) error {
		return errors.Join(d.dismiss(ctx, handed), d.adoptEndpoints(ctx, n))
	}) {
		return
	}
	if d.wantsEngine(d.table.record(n)) {
		d.askEngine(ctx, n)
	}
}

// eraseLater finishes the removal of a network that Docker has removed.
func (d *Driver) eraseLater(ctx context.Context, n *dockerNetwork) {
	d.persist(ctx, n, "removed network is not gone yet", func(ctx context.Context) error { return d.erase(ctx, n) })
}

// persist tries until it succeeds, keeps the last error as the network's fault and
// logs each new one. It reports false when the context ended.
func (d *Driver) persist(ctx context.Context, n *dockerNetwork, message string, try func(context.Context) error) bool {
	pace := backoff{first: restoreFirst, limit: restoreLimit}
	for {
		err := d.attempt(ctx, try)
		if ctx.Err() != nil {
			return false
		}
		before := d.table.setFault(n, err)
		if err == nil {
			return true
		}
		if before == nil || before.Error() != err.Error() {
			d.log.WithField("network", d.table.label(n)).WithError(err).Warn(message + ", trying again")
		}
		if !pace.wait(ctx) {
			return false
		}
	}
}

func (d *Driver) attempt(ctx context.Context, try func(context.Context) error) error {
	if err := d.attempts.Acquire(ctx, 1); err != nil {
		return err
	}
	defer d.attempts.Release(1)
	ctx, cancel := context.WithTimeout(ctx, restoreTimeout)
	defer cancel()
	return try(ctx)
}

// adoptEndpoints hands the plane those endpoints whose containers live: their
// interfaces are still there. The others Docker deletes, or has lost.
func (d *Driver) adoptEndpoints(ctx context.Context, n *dockerNetwork) error {
	var first error
	for _, e := range d.table.endpointsOf(n) {
		if err := d.adoptEndpoint(ctx, e); err != nil && first == nil {
			first = err
		}
	}
	return first
}

func (d *Driver) adoptEndpoint(ctx context.Context, e *dockerEndpoint) error {
	if err := e.lock.Acquire(ctx, 1); err != nil {
		return err
	}
	defer e.lock.Release(1)
	s := d.table.endpointState(e)
	if s.gone || s.inPlane || !s.rec.Joined || !d.linkExists(s.rec.HostIf) {
		return nil
	}
	if err := d.plane.AddEndpoint(ctx, s.rec.spec(true)); err != nil {
		return fmt.Errorf("attach endpoint %s again: %w", short(s.rec.ID), err)
	}
	d.table.setInPlane(e, true)
	return nil
}

// handOver hands a network to the plane together with those endpoints whose containers
// may be running, so that a switch that has gone on forwarding does not lose their
// ports, and returns the endpoints.
func (d *Driver) handOver(ctx context.Context, n *dockerNetwork) ([]*dockerEndpoint, error) {
	rec := d.table.record(n)
	spec := rec.spec()
	spec.Adopt = true
	var living []*dockerEndpoint
	for _, e := range d.table.endpointsOf(n) {
		if rec := d.table.endpointRecord(e); rec.Joined && d.linkExists(rec.HostIf) {
			living = append(living, e)
			spec.Endpoints = append(spec.Endpoints, rec.spec(true))
		}
	}
	return living, d.plane.AddNetwork(ctx, spec)
}

// dismiss takes endpoints off the plane that have left while they were handed over, when
// their calls could not tell it so.
func (d *Driver) dismiss(ctx context.Context, handed []*dockerEndpoint) error {
	for _, e := range handed {
		if err := e.lock.Acquire(ctx, 1); err != nil {
			return err
		}
		var err error
		if s := d.table.endpointState(e); s.gone || !s.rec.Joined {
			err = d.plane.RemoveEndpoint(ctx, s.rec.Network, s.rec.ID)
		}
		e.lock.Release(1)
		if err != nil {
			return err
		}
	}
	return nil
}
