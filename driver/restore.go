package driver

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sync/semaphore"

	"evio/driver/plane"
)

const (
	// restoreTimeout bounds one try to hand a network to the plane. It is below
	// callTimeout, so that a Join that waits can say what the try said.
	restoreTimeout = 8 * time.Second
	restoreFirst   = 500 * time.Millisecond
	restoreLimit   = 15 * time.Second
)

// restorer hands what was stored to the plane again after a start, and finishes removals
// that could not be finished within a call.
type restorer struct {
	table      *table
	plane      plane.Plane
	store      Store
	asker      *asker
	erase      func(context.Context, *dockerNetwork) error
	linkExists func(string) bool
	attempts   *semaphore.Weighted // bounds how many networks are restored at once
	log        *logrus.Entry
}

// load reads networks and endpoints. What makes no sense is set aside.
func (r *restorer) load() (map[string]*dockerNetwork, error) {
	networks, err := r.store.Load(kindNetwork)
	if err != nil {
		return map[string]*dockerNetwork{}, err
	}
	endpoints, err := r.store.Load(kindEndpoint)
	if err != nil {
		return map[string]*dockerNetwork{}, err
	}
	table := map[string]*dockerNetwork{}
	users := map[string]string{}
	for _, stored := range networks {
		rec, err := decodeNetwork(stored.ID, stored.Body)
		if err != nil {
			r.store.SetAside(kindNetwork, stored.ID, err)
			continue
		}
		if rec.Overlay != "" && !rec.Removed {
			if other, taken := users[rec.Overlay]; taken {
				// A removal that could not be stored leaves this behind.
				r.log.WithField("network", rec.label()).Errorf("network stays local: overlay %s is used by network %s of this engine", rec.Overlay, other)
				rec.Overlay = ""
			} else {
				users[rec.Overlay] = rec.label()
			}
		}
		table[rec.ID] = newDockerNetwork(rec)
	}
	for _, stored := range endpoints {
		rec, err := decodeEndpoint(stored.ID, stored.Body)
		if err != nil {
			r.store.SetAside(kindEndpoint, stored.ID, err)
			continue
		}
		n := table[rec.Network]
		if n == nil && r.store.Left(kindNetwork, rec.Network) {
			continue // they are used together again
		}
		if n == nil {
			r.store.SetAside(kindEndpoint, stored.ID, fmt.Errorf("network %s is not in the store", short(rec.Network)))
			continue
		}
		n.endpoints[rec.ID] = newDockerEndpoint(rec)
	}
	return table, nil
}

// restore hands a network to the plane, then its living endpoints, and goes on
// until that is done.
func (r *restorer) restore(ctx context.Context, n *dockerNetwork) {
	log := r.log.WithField("network", r.table.label(n))
	var handed []*dockerEndpoint
	if !r.persist(ctx, n, "network does not run yet", func(ctx context.Context) (err error) {
		handed, err = r.handOver(ctx, n)
		return err
	}) {
		return
	}
	close(n.ready)
	log.Info("network runs again")
	if !r.persist(ctx, n, "containers are not all attached yet", func(ctx context.Context) error {
		return errors.Join(r.dismiss(ctx, handed), r.adoptEndpoints(ctx, n))
	}) {
		return
	}
	if r.asker.wants(r.table.record(n)) {
		r.asker.ask(ctx, n)
	}
}

// eraseLater finishes the removal of a network that Docker has removed.
func (r *restorer) eraseLater(ctx context.Context, n *dockerNetwork) {
	r.persist(ctx, n, "removed network is not gone yet", func(ctx context.Context) error { return r.erase(ctx, n) })
}

// persist tries until it succeeds, keeps the last error as the network's fault and
// logs each new one. It reports false when the context ended.
func (r *restorer) persist(ctx context.Context, n *dockerNetwork, message string, try func(context.Context) error) bool {
	pace := pausesFrom(restoreFirst, restoreLimit)
	for {
		err := r.attempt(ctx, try)
		if ctx.Err() != nil {
			return false
		}
		before := r.table.setFault(n, err)
		if err == nil {
			return true
		}
		if before == nil || before.Error() != err.Error() {
			r.log.WithField("network", r.table.label(n)).WithError(err).Warn(message + ", trying again")
		}
		if !pace.wait(ctx) {
			return false
		}
	}
}

func (r *restorer) attempt(ctx context.Context, try func(context.Context) error) error {
	if err := r.attempts.Acquire(ctx, 1); err != nil {
		return err
	}
	defer r.attempts.Release(1)
	ctx, cancel := context.WithTimeout(ctx, restoreTimeout)
	defer cancel()
	return try(ctx)
}

// adoptEndpoints hands the plane those endpoints whose containers live: their
// interfaces are still there. The others Docker deletes, or has lost.
func (r *restorer) adoptEndpoints(ctx context.Context, n *dockerNetwork) error {
	var first error
	for _, e := range r.table.endpointsOf(n) {
		if err := r.adoptEndpoint(ctx, e); err != nil && first == nil {
			first = err
		}
	}
	return first
}

func (r *restorer) adoptEndpoint(ctx context.Context, e *dockerEndpoint) error {
	if err := e.lock.Acquire(ctx, 1); err != nil {
		return err
	}
	defer e.lock.Release(1)
	s := r.table.endpointState(e)
	if s.gone || s.inPlane || !s.rec.Joined || !r.linkExists(s.rec.HostIf) {
		return nil
	}
	if err := r.plane.AddEndpoint(ctx, s.rec.spec(true)); err != nil {
		return fmt.Errorf("attach endpoint %s again: %w", short(s.rec.ID), err)
	}
	r.table.setInPlane(e, true)
	return nil
}

// handOver hands a network to the plane together with those endpoints whose containers
// may be running, so that a switch that has gone on forwarding does not lose their
// ports, and returns the endpoints.
func (r *restorer) handOver(ctx context.Context, n *dockerNetwork) ([]*dockerEndpoint, error) {
	rec := r.table.record(n)
	spec := rec.spec()
	spec.Adopt = true
	var living []*dockerEndpoint
	for _, e := range r.table.endpointsOf(n) {
		if rec := r.table.endpointRecord(e); rec.Joined && r.linkExists(rec.HostIf) {
			living = append(living, e)
			spec.Endpoints = append(spec.Endpoints, rec.spec(true))
		}
	}
	return living, r.plane.AddNetwork(ctx, spec)
}

// dismiss takes endpoints off the plane that have left while they were handed over: their
// own calls came before the plane had the network.
func (r *restorer) dismiss(ctx context.Context, handed []*dockerEndpoint) error {
	for _, e := range handed {
		if err := e.lock.Acquire(ctx, 1); err != nil {
			return err
		}
		var err error
		if s := r.table.endpointState(e); s.gone || !s.rec.Joined {
			err = r.plane.RemoveEndpoint(ctx, s.rec.Network, s.rec.ID)
		}
		e.lock.Release(1)
		if err != nil {
			return err
		}
	}
	return nil
}
