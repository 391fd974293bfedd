package network

import (
	"context"
	"fmt"
	"sync"
	"time"

	"evio/overlay"
)

// Memory keeps what the nodes of this engine know of claims over a restart, by overlay.
type Memory interface {
	// Known returns what was kept last, nil for nothing.
	Known(overlay string) ([]byte, error)
	Keep(overlay string, known []byte) error
	Forget(overlay string) error
}

const (
	// keepEvery is how often what a node knows is kept, at most.
	keepEvery = 10 * time.Second
	// keepLast is how long a node that has ended may take to hand it over.
	keepLast = time.Second
)

// knowledge is what a network's node knows of claims, as it is kept over a restart.
type knowledge struct {
	n *network

	mu  sync.Mutex
	err error // why it is not kept, or was not
}

// fault returns why it is not kept, or was not.
func (k *knowledge) fault() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.err
}

// load returns what was kept of an overlay. What cannot be used is reported once; then
// the node is a new one.
func (k *knowledge) load(overlayName string) []byte {
	if k.n.plane.memory == nil {
		return nil
	}
	known, err := k.n.plane.memory.Known(overlayName)
	if err != nil {
		k.lost(overlayName, err)
		return nil
	}
	return known
}

// run keeps what the node knows until the context ends, and then for the last time.
func (k *knowledge) run(ctx context.Context, node *overlay.Node) {
	if k.n.plane.memory == nil {
		return
	}
	tick := time.NewTicker(keepEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-tick.C:
			k.keep(ctx, node)
		}
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), keepLast)
	defer cancel()
	k.keep(last, node)
}

func (k *knowledge) keep(ctx context.Context, node *overlay.Node) {
	known, err := node.Known(ctx)
	if err != nil || known == nil {
		return
	}
	if err := k.n.plane.memory.Keep(node.Overlay(), known); err != nil {
		k.note(fmt.Errorf("overlay %s: what is known of other sites' addresses is not on disk, so that after a restart this engine knows less of who had them first: %w", node.Overlay(), err))
		return
	}
	k.note(nil)
}

// lost reports why what was kept cannot be used.
func (k *knowledge) lost(overlayName string, err error) {
	k.note(fmt.Errorf("overlay %s: what was known of other sites' addresses before the start cannot be used, so this engine is new to them (nothing needs to be done, the file is replaced): %w", overlayName, err))
}

// note takes what is wrong with what is kept, nil for nothing, and logs it once.
func (k *knowledge) note(err error) {
	k.mu.Lock()
	before := k.err
	k.err = err
	k.mu.Unlock()
	if err != nil && (before == nil || before.Error() != err.Error()) {
		k.n.log.Error(err)
	}
}

// forget forgets it with the network.
func (k *knowledge) forget() error {
	k.n.mu.Lock()
	name := k.n.overlay
	k.n.mu.Unlock()
	if k.n.plane.memory == nil || name == "" {
		return nil
	}
	return k.n.plane.memory.Forget(name)
}
