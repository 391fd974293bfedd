package session

import (
	"errors"
	"fmt"
)

// errUnproved is why a session ends whose peer has got the proof of this node and has given
// none. It may be for a path that loses much, or for a peer that tries a guess.
var errUnproved = fmt.Errorf("%w: the handshake was done and this node has proved the overlay's secret, but the peer has not", ErrUnproved)

// errSecret says that one end alone has an overlay secret.
func errSecret(own bool) error {
	with, without := "the peer", "this node"
	if own {
		with, without = without, with
	}
	return fmt.Errorf("%w: %s has a secret for the overlay and %s has none; give both the same, or none", ErrSecret, with, without)
}

// unproved makes the reason for a session's end one that tells of a guess, whoever ended it
// and how, if the peer has got what lets it test one and has proved nothing.
func (s *Session) unproved(reason error) error {
	if s.shown.Load() == 0 || errors.Is(reason, ErrSecret) || errors.Is(reason, ErrUnproved) {
		return reason
	}
	return fmt.Errorf("%w: %w", errUnproved, reason)
}

// doubt tells that the peer has proved a secret, and may have tested a guess of another.
func (s *Session) doubt() {
	if s.options.Doubt != nil {
		s.options.Doubt()
	}
}
