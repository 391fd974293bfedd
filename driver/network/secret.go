package network

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"evio/datapath/proof"
	"evio/overlay"
	"evio/overlay/nodeid"
)

// secretEvery is how often is looked whether an overlay's secrets have changed.
const secretEvery = 5 * time.Second

var errNoSecret = errors.New("it is empty")

// overlaySecret has the secrets of a network's overlay, as they were when they could be
// read last.
type overlaySecret struct {
	n *network

	mu    sync.Mutex
	known []proof.Secret
	err   error // why there is none for a new session
}

// fault returns why there is no secret for a new session.
func (s *overlaySecret) fault() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// of returns what gives a session the overlay's secrets, nil if none is configured.
// Ones that cannot be had are an error: a session without them would let in whom they are
// to keep out. That is logged once, until they can be had again or the reason is another.
// A session that is up goes on with those that could be had last.
func (s *overlaySecret) of(overlayName string) (func() []proof.Secret, error) {
	read := s.n.plane.secrets[overlayName]
	if read == nil {
		return nil, nil
	}
	if err := s.read(overlayName, read); err != nil {
		return nil, err
	}
	return func() []proof.Secret {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.known
	}, nil
}

// read reads the secrets, and notifies the sessions if they have changed.
func (s *overlaySecret) read(overlayName string, read func() ([]proof.Secret, error)) error {
	secrets, err := read()
	if err == nil && len(secrets) == 0 {
		err = errNoSecret
	}
	if err != nil {
		err = fmt.Errorf("overlay %s gets no new sessions: its secret cannot be read: %w", overlayName, err)
	}
	s.mu.Lock()
	changed, before := false, s.err
	s.err = err
	if err == nil && !slices.Equal(s.known, secrets) {
		changed = s.known != nil
		s.known = secrets
	}
	s.mu.Unlock()
	if err != nil {
		if before == nil || before.Error() != err.Error() {
			s.n.log.WithError(err).Error("no session opened, trying again")
		}
		return translatedError{err, overlay.ErrReported}
	}
	if before != nil {
		s.n.log.Infof("the secret of overlay %s can be read again", overlayName)
	}
	if changed {
		s.n.log.Infof("the secrets of overlay %s have changed, there are %d now", overlayName, len(secrets))
		s.n.guesses.Forget() // what failed may have been for a wrong secret here
		for _, l := range s.n.links.all() {
			l.session.Load().SecretsChanged()
		}
	}
	return nil
}

// watchSecrets looks after the secrets of all overlays until the context ends: so
// sessions that are up hear of it when one is out of use, and nobody waits for the
// stretching of a new one.
func (p *Plane) watchSecrets(ctx context.Context) {
	for _, read := range p.secrets {
		_, _ = read() // stretched by now when the first session wants them
	}
	ticker := time.NewTicker(secretEvery)
	defer ticker.Stop()
	for {
		for _, n := range p.running() {
			n.mu.Lock()
			name := n.overlay
			n.mu.Unlock()
			if read := p.secrets[name]; read != nil {
				_ = n.secret.read(name, read) // it logs its errors
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// account returns the name of a peer for people: its account, or its node ID if the
// account is no longer known.
func (n *network) account(peer nodeid.ID) string {
	if node := n.currentNode(); node != nil && n.plane.book != nil {
		for _, m := range n.plane.book.Members(node.Overlay()) {
			if m.Node == peer {
				return m.JID
			}
		}
	}
	return peer.String()
}
