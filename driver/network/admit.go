package network

import (
	"sync/atomic"

	"evio/datapath/filter"
	"evio/driver/network/admission"
	"evio/overlay"
	"evio/overlay/nodeid"
)

// newRules returns what may be said in a network with a value of option evio.guard.
func newRules(mode admission.Mode, n *network) *admission.Rules {
	return &admission.Rules{Guard: mode.Guard(usableSubnets(n.spec.Subnets))}
}

// fault is what is wrong with a frame of a peer.
type fault struct {
	admission.Fault
	cause *atomic.Uint64 // counts it; nil: nothing is wrong
}

// frameFault looks for what is wrong with a frame of a node. It runs for each frame of a
// peer, by whichever port it came.
func (n *network) frameFault(t *overlay.Table, origin nodeid.ID, frame []byte) fault {
	f := fault{Fault: n.rules.Peer(t, origin, frame)}
	switch f.Cause {
	case filter.None:
	case filter.Station:
		f.cause = &n.drops.notOwner
	case filter.Address:
		f.cause = &n.drops.notHolder
	case filter.Role:
		f.cause = &n.drops.role
	default:
		f.cause = &n.drops.malformed
	}
	return f
}
