package session

import (
	"fmt"
)

// minUnopened is how many records of the peer do not open when its keys are taken
// for others. A single one may be anybody's.
const minUnopened = 3

// errSecret says that one end alone has an overlay secret.
func errSecret(own bool) error {
	with, without := "the peer", "this node"
	if own {
		with, without = without, with
	}
	return fmt.Errorf("%w: %s has a secret for the overlay and %s has none; give both the same, or none", ErrSecret, with, without)
}

// unopenedFrom is called by the reader with the route of a record that does not open.
func (s *Session) unopenedFrom(by route) {
	if p := s.path.Load(); p != nil && by.remote == p.remote {
		s.unopened.Add(1)
	}
}

// unconfirmed says why a connection was not established in time. Where the handshake
// was done and what the peer sends then by the path does not open, both ends are who
// they say they are but have made other keys: only the overlay secret can differ.
func (s *Session) unconfirmed() error {
	if s.keys.load() == nil || s.unopened.Load() < minUnopened {
		return ErrTimeout
	}
	return fmt.Errorf("%w: the handshake was done, but the peer's keys are others; compare the overlay's secret on both nodes", ErrSecret)
}
