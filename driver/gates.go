package driver

import (
	"context"
	"errors"
	"fmt"
)

// errUnknown is for calls that succeed when what they are about is gone.
var errUnknown = errors.New("unknown")

// enter passes a network's gate with the given weight. A network that Docker has
// removed is unknown.
func (t *table) enter(ctx context.Context, id string, weight int64) (*dockerNetwork, func(), error) {
	if err := t.waitLoaded(ctx); err != nil {
		return nil, nil, err
	}
	for {
		t.mu.Lock()
		n := t.networks[id]
		known := n != nil && !n.rec.Removed
		t.mu.Unlock()
		if !known {
			return nil, nil, fmt.Errorf("%w network %s: remove it and create it again", errUnknown, short(id))
		}
		if err := n.gate.Acquire(ctx, weight); err != nil {
			return nil, nil, fmt.Errorf("network %s is busy with another call: try again", t.label(n))
		}
		t.mu.Lock()
		stale := n.gone || n.rec.Removed
		if !stale {
			t.beginLocked(&n.work)
		}
		t.mu.Unlock()
		if !stale {
			return n, func() { t.leave(n, weight) }, nil
		}
		n.gate.Release(weight)
	}
}

// enterEndpoint passes a network's gate and takes the lock of one of its endpoints.
func (t *table) enterEndpoint(ctx context.Context, networkID, id string) (*dockerNetwork, *dockerEndpoint, func(), error) {
	n, leave, err := t.enter(ctx, networkID, share)
	if err != nil {
		return nil, nil, nil, err
	}
	for {
		e := t.endpoint(n, id)
		if e == nil {
			leave()
			return nil, nil, nil, fmt.Errorf("%w endpoint %s of network %s: disconnect the container and connect it again",
				errUnknown, short(id), t.label(n))
		}
		if err := e.lock.Acquire(ctx, 1); err != nil {
			leave()
			return nil, nil, nil, fmt.Errorf("endpoint %s is busy with another call: try again", short(id))
		}
		t.mu.Lock()
		gone := e.gone
		if !gone {
			t.beginLocked(&e.work)
		}
		t.mu.Unlock()
		if !gone {
			return n, e, func() { t.leaveEndpoint(e); leave() }, nil
		}
		e.lock.Release(1)
	}
}

// waitReady waits until the plane has the network and says what is missing when it
// does not get it in time.
func (t *table) waitReady(ctx context.Context, n *dockerNetwork) error {
	select {
	case <-n.ready:
		return nil
	case <-ctx.Done():
	}
	s := t.networkState(n)
	if s.fault != nil {
		return fmt.Errorf("network %s does not run yet: %w", s.rec.label(), s.fault)
	}
	return fmt.Errorf("network %s does not run yet after the start of the plugin: try again", s.rec.label())
}

// reserve enters a network into the table, with its gate held, so that its ID and
// its overlay are taken from now on. It returns nil when the same request has made the
// network already.
func (t *table) reserve(ctx context.Context, rec networkRecord) (*dockerNetwork, error) {
	for {
		t.mu.Lock()
		n := t.networks[rec.ID]
		if n == nil {
			defer t.mu.Unlock()
			return t.reserveLocked(rec)
		}
		removed := n.rec.Removed
		t.mu.Unlock()
		if removed {
			return nil, fmt.Errorf("network %s is still being removed: try again", short(rec.ID))
		}
		if err := n.gate.Acquire(ctx, share); err != nil {
			return nil, fmt.Errorf("network %s is busy with another call: try again", short(rec.ID))
		}
		t.mu.Lock()
		gone, known := n.gone, n.rec
		t.touchLocked(&n.work)
		t.mu.Unlock()
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

func (t *table) reserveLocked(rec networkRecord) (*dockerNetwork, error) {
	if t.closed {
		return nil, errors.New("evio is stopping: try again when it runs")
	}
	if rec.Overlay != "" {
		if other := t.overlayUserLocked(rec.Overlay); other != nil {
			return nil, fmt.Errorf("overlay %s is used by network %s of this engine already: connect containers to that one, or give another %s",
				rec.Overlay, other.rec.label(), optionOverlay)
		}
	}
	n := newDockerNetwork(rec)
	n.gate.TryAcquire(whole)
	t.beginLocked(&n.work)
	t.networks[rec.ID] = n
	return n, nil
}

// reserveEndpoint enters an endpoint into the table with its lock held. It returns
// nil when the same request has made the endpoint already. If another
// endpoint has one of its addresses, nothing is entered, and that one is the clash.
func (t *table) reserveEndpoint(ctx context.Context, n *dockerNetwork, rec endpointRecord) (reserved, clash *dockerEndpoint, err error) {
	for {
		t.mu.Lock()
		e := n.endpoints[rec.ID]
		if e == nil {
			defer t.mu.Unlock()
			if clash := clashLocked(n, &rec); clash != nil {
				return nil, clash, nil
			}
			e = newDockerEndpoint(rec)
			e.lock.TryAcquire(1)
			t.beginLocked(&e.work)
			n.endpoints[rec.ID] = e
			return e, nil, nil
		}
		t.mu.Unlock()
		if err := e.lock.Acquire(ctx, 1); err != nil {
			return nil, nil, fmt.Errorf("endpoint %s is busy with another call: try again", short(rec.ID))
		}
		t.mu.Lock()
		gone, known := e.gone, e.rec
		t.touchLocked(&e.work)
		t.mu.Unlock()
		e.lock.Release(1)
		if gone {
			continue
		}
		if !known.sameRequest(&rec) {
			return nil, nil, fmt.Errorf("endpoint %s exists with other addresses or another interface name: disconnect the container and connect it again", short(rec.ID))
		}
		return nil, nil, nil
	}
}

// clashLocked returns an endpoint of the network with the same MAC or IP address.
func clashLocked(n *dockerNetwork, rec *endpointRecord) *dockerEndpoint {
	for _, e := range n.endpoints {
		if e.rec.MAC == rec.MAC || e.rec.shareAddress(rec) {
			return e
		}
	}
	return nil
}

func (t *table) beginLocked(w *work) {
	w.calls++
	t.touchLocked(w)
}

// leave ends the call that enter or reserve has let in.
func (t *table) leave(n *dockerNetwork, weight int64) {
	t.end(&n.work)
	n.gate.Release(weight)
}

func (t *table) leaveEndpoint(e *dockerEndpoint) {
	t.end(&e.work)
	e.lock.Release(1)
}

func (t *table) end(w *work) {
	t.mu.Lock()
	defer t.mu.Unlock()
	w.calls--
	t.touchLocked(w)
}

// touchLocked notes that Docker has spoken of the object.
func (t *table) touchLocked(w *work) {
	t.changes++
	w.version = t.changes
}
