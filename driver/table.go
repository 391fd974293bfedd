package driver

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

// table has Docker's networks and endpoints. Its mutex guards all that changes in them.
// Only methods of the table take it, and never over I/O or while they wait; what they
// return is a copy.
type table struct {
	loaded chan struct{} // closed by fill

	mu       sync.Mutex
	networks map[string]*dockerNetwork
	changes  uint64 // numbers the versions of all objects
	closed   bool
}

func newTable() *table {
	return &table{loaded: make(chan struct{}), networks: map[string]*dockerNetwork{}}
}

// fill begins with what was stored and lets calls in. task returns what a network does
// in the background from now on; nil: none does anything.
func (t *table) fill(ctx context.Context, networks map[string]*dockerNetwork, task func(*dockerNetwork, networkRecord) func(context.Context)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.networks = networks
	if task != nil {
		for _, n := range t.networksLocked() {
			t.backgroundLocked(ctx, n, task(n, n.rec))
		}
	}
	close(t.loaded)
}

func (t *table) waitLoaded(ctx context.Context) error {
	select {
	case <-t.loaded:
		return nil
	case <-ctx.Done():
		return errors.New("evio is still starting: try again")
	}
}

// close ends all background tasks and lets none begin any more. It waits for them as
// long as the context lets it.
func (t *table) close(ctx context.Context) error {
	t.mu.Lock()
	t.closed = true
	all := t.networksLocked()
	t.mu.Unlock()
	for _, n := range all {
		n.stop()
	}
	var err error
	for _, n := range all {
		err = errors.Join(err, n.stopped(ctx))
	}
	return err
}

func (t *table) isClosed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.closed
}

// background runs the network's one background task, which ends with ctx or with stop.
// A closed table starts nothing.
func (t *table) background(ctx context.Context, n *dockerNetwork, task func(context.Context)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.backgroundLocked(ctx, n, task)
}

func (t *table) backgroundLocked(ctx context.Context, n *dockerNetwork, task func(context.Context)) {
	if t.closed {
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

func (t *table) networksLocked() []*dockerNetwork {
	all := make([]*dockerNetwork, 0, len(t.networks))
	for _, n := range t.networks {
		all = append(all, n)
	}
	slices.SortFunc(all, func(a, b *dockerNetwork) int { return strings.Compare(a.rec.ID, b.rec.ID) })
	return all
}

// network returns the network with an ID, nil if there is none.
func (t *table) network(id string) *dockerNetwork {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.networks[id]
}

// networkState returns a copy that stays as it is.
func (t *table) networkState(n *dockerNetwork) networkState {
	t.mu.Lock()
	defer t.mu.Unlock()
	return n.networkState
}

func (t *table) record(n *dockerNetwork) networkRecord { return t.networkState(n).rec }

func (t *table) label(n *dockerNetwork) string {
	rec := t.record(n)
	return rec.label()
}

// setRecord is for whoever holds the gate alone.
func (t *table) setRecord(n *dockerNetwork, rec networkRecord) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n.rec = rec
}

// setFault notes why the plane does not have the network, nil if it does, and returns
// the reason of before.
func (t *table) setFault(n *dockerNetwork, err error) (before error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	before, n.fault = n.fault, err
	return before
}

// setRemoved notes that Docker has removed the network and why the plane has not yet.
func (t *table) setRemoved(n *dockerNetwork, why error) networkRecord {
	t.mu.Lock()
	defer t.mu.Unlock()
	n.rec.Removed, n.fault = true, why
	return n.rec
}

func (t *table) dropNetwork(n *dockerNetwork) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n.gone = true
	if t.networks[n.rec.ID] == n {
		delete(t.networks, n.rec.ID)
	}
}

// endpoint returns the endpoint of a network with an ID, nil if there is none.
func (t *table) endpoint(n *dockerNetwork, id string) *dockerEndpoint {
	t.mu.Lock()
	defer t.mu.Unlock()
	return n.endpoints[id]
}

func (t *table) endpointsOf(n *dockerNetwork) []*dockerEndpoint {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.SortedFunc(maps.Values(n.endpoints), func(a, b *dockerEndpoint) int { return strings.Compare(a.rec.ID, b.rec.ID) })
}

// endpointState returns a copy that stays as it is.
func (t *table) endpointState(e *dockerEndpoint) endpointState {
	t.mu.Lock()
	defer t.mu.Unlock()
	return e.endpointState
}

func (t *table) endpointRecord(e *dockerEndpoint) endpointRecord { return t.endpointState(e).rec }

// setEndpointRecord is for whoever holds the endpoint's lock.
func (t *table) setEndpointRecord(e *dockerEndpoint, rec endpointRecord) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e.rec = rec
}

// setInPlane is for whoever holds the endpoint's lock.
func (t *table) setInPlane(e *dockerEndpoint, in bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e.inPlane = in
}

// setClaims notes what a container has claimed, and returns its endpoint, nil if there
// is none.
func (t *table) setClaims(networkID, endpointID string, claims []claimRecord) *dockerEndpoint {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := t.networks[networkID]
	if n == nil {
		return nil
	}
	e := n.endpoints[endpointID]
	if e != nil {
		e.claims = claims
	}
	return e
}

func (t *table) dropEndpoint(n *dockerNetwork, e *dockerEndpoint) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e.gone = true
	if n.endpoints[e.rec.ID] == e {
		delete(n.endpoints, e.rec.ID)
	}
}

// naming is what comes of a network's name.
type naming struct {
	before, after networkRecord
	// nameErr is why the network cannot be in the overlay of its name, and nameErrBefore
	// why it could not so far.
	nameErr, nameErrBefore error
}

// setName takes a network's name for its overlay, if it has none. It returns false for a
// network that is no longer there. The gate is held alone.
func (t *table) setName(n *dockerNetwork, name string) (naming, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n.gone || n.rec.Removed {
		return naming{}, false
	}
	c := naming{before: n.rec, nameErrBefore: n.nameErr}
	n.rec.Name = name
	n.nameErr = t.claimLocked(n, name)
	c.after, c.nameErr = n.rec, n.nameErr
	return c, true
}

// claimLocked makes the name the network's overlay, or says why it cannot be.
func (t *table) claimLocked(n *dockerNetwork, name string) error {
	if n.rec.Overlay != "" {
		return nil
	}
	if err := checkOverlayName(name); err != nil {
		return fmt.Errorf("it reaches this engine only, because its name cannot be an overlay's (%w): remove it and create it with -o %s=NAME", err, optionOverlay)
	}
	if other := t.overlayUserLocked(name); other != nil {
		return fmt.Errorf("it reaches this engine only, because overlay %s is used by network %s of this engine: remove one of the two and create it with another -o %s=NAME", name, other.rec.label(), optionOverlay)
	}
	n.rec.Overlay = name
	return nil
}

// overlayUserLocked returns the network of this engine that uses the overlay.
func (t *table) overlayUserLocked(overlay string) *dockerNetwork {
	for _, n := range t.networks {
		if n.rec.Overlay == overlay && !n.rec.Removed {
			return n
		}
	}
	return nil
}
