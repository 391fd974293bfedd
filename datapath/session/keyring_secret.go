package session

import (
	"fmt"

	"evio/datapath/drops"
)

// errSecret says that one end alone has an overlay secret.
func errSecret(own bool) error {
	with, without := "the peer", "this node"
	if own {
		with, without = without, with
	}
	return fmt.Errorf("%w: %s has a secret for the overlay and %s has none; give both the same, or none", ErrSecret, with, without)
}

// unconfirmed says why a connection was not established in time. Where the handshake
// was done and what the peer sends then does not open, both ends are who they say
// they are but have made other keys: only the overlay secret can differ.
func (s *Session) unconfirmed() error {
	keys := s.keys.load()
	if keys == nil || s.drops.Get(drops.RecordForged) == keys.forged {
		return ErrTimeout
	}
	return fmt.Errorf("%w: the handshake was done, but the peer's keys are others; compare the overlay's secret on both nodes", ErrSecret)
}
