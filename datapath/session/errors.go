package session

import (
	"errors"
	"fmt"
)

// What callers may test an error for.
var (
	ErrClosed         = errors.New("session is closed")
	ErrPeerClosed     = errors.New("peer has closed the session")
	ErrPeerDead       = errors.New("peer does not answer")
	ErrAddresses      = errors.New("own addresses have changed")
	ErrTimeout        = errors.New("no path and keys in time")
	ErrNotReady       = errors.New("own parameters are not ready")
	ErrEstablished    = errors.New("session is established")
	ErrNotEstablished = errors.New("session is not established")
	ErrFrameSize      = errors.New("frame is empty or larger than its kind allows")
	ErrSegments       = errors.New("its segments or its checksum cannot be found")
	ErrKind           = errors.New("not a kind that callers send")
	ErrSecret         = errors.New("overlay secrets differ")
	ErrUnproved       = errors.New("peer has not proved the overlay's secret")
	ErrExhausted      = errors.New("session has used up its keys")
)

// errUnproved ends a session whose peer has got the proof of this node and has given none.
// The cause may be a path that loses much, or a peer that tries a guess.
var errUnproved = fmt.Errorf("%w: the handshake was done and this node has proved the overlay's secret, but the peer has not", ErrUnproved)

// errSecret says that only one end has an overlay secret.
func errSecret(own bool) error {
	with, without := "the peer", "this node"
	if own {
		with, without = without, with
	}
	return fmt.Errorf("%w: %s has a secret for the overlay and %s has none; give both the same, or none", ErrSecret, with, without)
}

// errLapsed ends a session whose peer has proved no secret that is still in the file.
var errLapsed = fmt.Errorf("%w: the one that this session was made with is not in the file of this node any more, and the peer has proved none that is", ErrSecret)
