package overlay

import (
	"context"
	"errors"
	"time"
)

// Forgot says why Config.Known cannot be used, so that the node is new; nil: it is not.
func (n *Node) Forgot() error { return n.forgot }

// knownFresh is how old what Known returned may get without news: until when others
// were in reach stands in it.
const knownFresh = 5 * time.Minute

// Known returns what a later life of this node should know of claims, nil if it returned
// that already. It can be asked after the node's end too, then by
// one goroutine at a time.
func (n *Node) Known(ctx context.Context) ([]byte, error) {
	var known []byte
	err := n.ask(ctx, func() error {
		known = n.tellKnown()
		return nil
	})
	if errors.Is(err, errEnded) {
		select {
		case <-n.done:
			return n.tellKnown(), nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if err != nil {
		return nil, err
	}
	return known, nil
}

func (n *Node) tellKnown() []byte {
	now := time.Now()
	if !n.stirred && now.Sub(n.knownAt) < knownFresh {
		return nil
	}
	n.stirred, n.knownAt = false, now
	return n.directory.Known(now)
}
