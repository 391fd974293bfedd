package network

import (
	"context"
	"fmt"
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
	// keepLast is how long a node that has ended may take to tell it.
	keepLast = time.Second
)

// remember returns what was kept of an overlay. What cannot be used is told once; then
// the node is a new one.
func (n *network) remember(overlayName string) []byte {
	if n.plane.memory == nil {
		return nil
	}
	known, err := n.plane.memory.Known(overlayName)
	if err != nil {
		n.forgot(overlayName, err)
		return nil
	}
	return known
}

// keepKnown keeps what the node knows until the context ends, and then for the last time.
func (n *network) keepKnown(ctx context.Context, node *overlay.Node) {
	if n.plane.memory == nil {
		return
	}
	tick := time.NewTicker(keepEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-tick.C:
			n.keep(ctx, node)
		}
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), keepLast)
	defer cancel()
	n.keep(last, node)
}

func (n *network) keep(ctx context.Context, node *overlay.Node) {
	known, err := node.Known(ctx)
	if err != nil || known == nil {
		return
	}
	if err := n.plane.memory.Keep(node.Overlay(), known); err != nil {
		n.noteKnown(fmt.Errorf("overlay %s: what is known of other sites' addresses is not on disk, so that after a restart this engine knows less of who had them first: %w", node.Overlay(), err))
		return
	}
	n.noteKnown(nil)
}

// forgot tells why what was kept is of no use.
func (n *network) forgot(overlayName string, err error) {
	n.noteKnown(fmt.Errorf("overlay %s: what was known of other sites' addresses before the start cannot be used, so this engine is new to them (nothing needs to be done, the file is replaced): %w", overlayName, err))
}

// noteKnown is told what is wrong with what is kept, nil for nothing, and logs it once.
func (n *network) noteKnown(err error) {
	n.mu.Lock()
	before := n.knownErr
	n.knownErr = err
	n.mu.Unlock()
	if err != nil && (before == nil || before.Error() != err.Error()) {
		n.log.Error(err)
	}
}

// forgetKnown forgets it with the network.
func (n *network) forgetKnown() error {
	n.mu.Lock()
	name := n.overlay
	n.mu.Unlock()
	if n.plane.memory == nil || name == "" {
		return nil
	}
	return n.plane.memory.Forget(name)
}
