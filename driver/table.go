package driver

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"golang.org/x/sync/semaphore"
)

// dockerNetwork is a network in the driver's table.
type dockerNetwork struct {
	// gate is passed by calls about endpoints together (share) and by calls about
	// the network alone (whole).
	gate *semaphore.Weighted
	// ready is closed once the plane has the network.
	ready chan struct{}
	// stop ends the network's background task, done is closed when it has ended.
	stop context.CancelFunc
	done chan struct{}

	// The rest is guarded by Driver.mu.
	work      work
	rec       networkRecord
	endpoints map[string]*dockerEndpoint
	gone      bool  // not in the table any more: look again
	fault     error // why the plane does not have it, or not all of it
	apart     error // why it cannot be in the overlay of its name, so that it stays local
}

// faultLocked returns what keeps the network from being as it should be.
func (n *dockerNetwork) faultLocked() error {
	if n.fault != nil {
		return n.fault
	}
	return n.apart
}

// dockerEndpoint is an endpoint in the driver's table.
type dockerEndpoint struct {
	// lock is held by the one call that is about this endpoint.
	lock *semaphore.Weighted

	// The rest is guarded by Driver.mu.
	work    work
	rec     endpointRecord
	gone    bool // not in the table any more: look again
	inPlane bool
	claims  []claimRecord // what the container has claimed; soon in rec
}

const (
	share = 1
	whole = 1 << 30
)

// newDockerNetwork returns a network without background task.
func newDockerNetwork(rec networkRecord) *dockerNetwork {
	n := &dockerNetwork{
		gate: semaphore.NewWeighted(whole), ready: make(chan struct{}), done: make(chan struct{}),
		stop: func() {}, rec: rec, endpoints: map[string]*dockerEndpoint{},
	}
	close(n.done)
	return n
}

func newDockerEndpoint(rec endpointRecord) *dockerEndpoint {
	return &dockerEndpoint{lock: semaphore.NewWeighted(1), rec: rec}
}

func (n *dockerNetwork) isReady() bool {
	select {
	case <-n.ready:
		return true
	default:
		return false
	}
}

// stopped waits for the end of the background task.
func (n *dockerNetwork) stopped(ctx context.Context) error {
	select {
	case <-n.done:
		return nil
	case <-ctx.Done():
		return errors.New("stop: background work on a network is still running")
	}
}

// backgroundLocked runs the network's one background task, which ends with ctx or
// with stop. A closed driver starts nothing.
func (d *Driver) backgroundLocked(ctx context.Context, n *dockerNetwork, task func(context.Context)) {
	if d.closed {
		return
	}
	n.stop()
	before, done := n.done, make(chan struct{})
	ctx, n.stop = context.WithCancel(ctx)
	n.done = done
	go func() { // owned by the network: Close and DeleteNetwork stop it and wait
		defer close(done)
		<-before
		task(ctx)
	}()
}

// errUnknown is told apart by calls for which what is gone is as it should be.
var errUnknown = errors.New("unknown")

// enter passes a network's gate with the given weight. A network that Docker has
// removed is unknown.
func (d *Driver) enter(ctx context.Context, id string, weight int64) (*dockerNetwork, func(), error) {
	if err := d.waitLoaded(ctx); err != nil {
		return nil, nil, err
	}
	for {
		d.mu.Lock()
		n := d.networks[id]
		known := n != nil && !n.rec.Removed
		d.mu.Unlock()
		if !known {
			return nil, nil, fmt.Errorf("%w network %s: remove it and create it again", errUnknown, short(id))
		}
		if err := n.gate.Acquire(ctx, weight); err != nil {
			return nil, nil, fmt.Errorf("network %s is busy with another call: try again", d.label(n))
		}
		d.mu.Lock()
		stale := n.gone || n.rec.Removed
		if !stale {
			d.beginLocked(&n.work)
		}
		d.mu.Unlock()
		if !stale {
			return n, func() { d.end(&n.work); n.gate.Release(weight) }, nil
		}
		n.gate.Release(weight)
	}
}

// enterEndpoint passes a network's gate and takes the lock of one of its endpoints.
func (d *Driver) enterEndpoint(ctx context.Context, networkID, id string) (*dockerNetwork, *dockerEndpoint, func(), error) {
	n, leave, err := d.enter(ctx, networkID, share)
	if err != nil {
		return nil, nil, nil, err
	}
	for {
		d.mu.Lock()
		e := n.endpoints[id]
		d.mu.Unlock()
		if e == nil {
			leave()
			return nil, nil, nil, fmt.Errorf("%w endpoint %s of network %s: disconnect the container and connect it again",
				errUnknown, short(id), d.label(n))
		}
		if err := e.lock.Acquire(ctx, 1); err != nil {
			leave()
			return nil, nil, nil, fmt.Errorf("endpoint %s is busy with another call: try again", short(id))
		}
		d.mu.Lock()
		gone := e.gone
		if !gone {
			d.beginLocked(&e.work)
		}
		d.mu.Unlock()
		if !gone {
			return n, e, func() { d.end(&e.work); e.lock.Release(1); leave() }, nil
		}
		e.lock.Release(1)
	}
}

func (d *Driver) waitLoaded(ctx context.Context) error {
	select {
	case <-d.loaded:
		return nil
	case <-ctx.Done():
		return errors.New("evio is still starting: try again")
	}
}

// waitReady waits until the plane has the network and says what is missing when it
// does not get it in time.
func (d *Driver) waitReady(ctx context.Context, n *dockerNetwork) error {
	select {
	case <-n.ready:
		return nil
	case <-ctx.Done():
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if n.fault != nil {
		return fmt.Errorf("network %s does not run yet: %w", n.rec.label(), n.fault)
	}
	return fmt.Errorf("network %s does not run yet after the start of the plugin: try again", n.rec.label())
}

func (d *Driver) label(n *dockerNetwork) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return n.rec.label()
}

// record returns a copy that stays as it is.
func (d *Driver) record(n *dockerNetwork) networkRecord {
	d.mu.Lock()
	defer d.mu.Unlock()
	return n.rec
}

func (d *Driver) endpointRecord(e *dockerEndpoint) endpointRecord {
	d.mu.Lock()
	defer d.mu.Unlock()
	return e.rec
}

func (d *Driver) dropNetwork(n *dockerNetwork) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n.gone = true
	if d.networks[n.rec.ID] == n {
		delete(d.networks, n.rec.ID)
	}
}

func (d *Driver) dropEndpoint(n *dockerNetwork, e *dockerEndpoint) {
	d.mu.Lock()
	defer d.mu.Unlock()
	e.gone = true
	if n.endpoints[e.rec.ID] == e {
		delete(n.endpoints, e.rec.ID)
	}
}

func (d *Driver) endpointsOf(n *dockerNetwork) []*dockerEndpoint {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.SortedFunc(maps.Values(n.endpoints), func(a, b *dockerEndpoint) int { return strings.Compare(a.rec.ID, b.rec.ID) })
}
