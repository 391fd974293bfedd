package network

import (
	"errors"
	"fmt"

	"evio/overlay"
)

var errNoSecret = errors.New("it is empty")

// secret returns the overlay secret for a new session, nil if none is configured. One
// that cannot be had is an error: a session without it would let in whom it is to
// keep out. That is logged once, until it can be had again or the reason is another.
func (n *network) secret(overlayName string) ([]byte, error) {
	read := n.plane.secrets[overlayName]
	if read == nil {
		return nil, nil
	}
	secret, err := read()
	if err == nil && len(secret) == 0 {
		err = errNoSecret
	}
	if err != nil {
		err = fmt.Errorf("overlay %s gets no new sessions: its secret cannot be read: %w", overlayName, err)
	}
	n.mu.Lock()
	before := n.secretErr
	n.secretErr = err
	n.mu.Unlock()
	if err != nil {
		if before == nil || before.Error() != err.Error() {
			n.log.WithError(err).Error("no session opened, trying again")
		}
		return nil, meaning{err, overlay.ErrReported}
	}
	if before != nil {
		n.log.Infof("the secret of overlay %s can be read again", overlayName)
	}
	return secret, nil
}
