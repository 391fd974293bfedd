package driver

import (
	"context"
	"errors"

	"golang.org/x/sync/semaphore"
)

// dockerNetwork is a network in the table.
type dockerNetwork struct {
	// gate is passed by calls about endpoints together (share) and by calls about
	// the network alone (whole).
	gate *semaphore.Weighted
	// ready is closed once the plane has the network.
	ready chan struct{}
	// stop ends the network's background task, done is closed when it has ended.
	stop context.CancelFunc
	done chan struct{}

	// The rest is guarded by the table's mutex.
	networkState
	work      work
	endpoints map[string]*dockerEndpoint
}

// networkState is what changes of a network.
type networkState struct {
	rec     networkRecord
	gone    bool  // not in the table any more: look again
	fault   error // why the plane does not have it, or not all of it
	nameErr error // why it cannot be in the overlay of its name, so that it stays local
}

// dockerEndpoint is an endpoint in the table.
type dockerEndpoint struct {
	// lock is held by the one call that is about this endpoint.
	lock *semaphore.Weighted

	// The rest is guarded by the table's mutex.
	endpointState
	work work
}

// endpointState is what changes of an endpoint.
type endpointState struct {
	rec     endpointRecord
	gone    bool // not in the table any more: look again
	inPlane bool
	claims  []claimRecord // what the container has claimed; soon in rec
}

// work is what Docker's calls do about a network or an endpoint.
type work struct {
	calls   int    // in flight
	version uint64 // of the last call that began or ended; each has another one
}

const (
	share = 1
	whole = 1 << 30
)

// newDockerNetwork returns a network without background task.
func newDockerNetwork(rec networkRecord) *dockerNetwork {
	n := &dockerNetwork{
		gate: semaphore.NewWeighted(whole), ready: make(chan struct{}), done: make(chan struct{}),
		stop: func() {}, networkState: networkState{rec: rec}, endpoints: map[string]*dockerEndpoint{},
	}
	close(n.done)
	return n
}

func newDockerEndpoint(rec endpointRecord) *dockerEndpoint {
	return &dockerEndpoint{lock: semaphore.NewWeighted(1), endpointState: endpointState{rec: rec}}
}

// faultLocked returns what keeps the network from being as it should be.
func (n *dockerNetwork) faultLocked() error {
	if n.fault != nil {
		return n.fault
	}
	return n.nameErr
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
