package network

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"evio/datapath/proof"
	"evio/overlay"
	"evio/overlay/nodeid"
)

// secretEvery is how often is looked whether an overlay's secrets have changed.
const secretEvery = 5 * time.Second

var errNoSecret = errors.New("it is empty")

// secrets returns what gives a session the overlay's secrets, nil if none is configured.
// Ones that cannot be had are an error: a session without them would let in whom they are
// to keep out. That is logged once, until they can be had again or the reason is another.
// A session that is up goes on with those that could be had last.
func (n *network) secrets(overlayName string) (func() []proof.Secret, error) {
	read := n.plane.secrets[overlayName]
	if read == nil {
		return nil, nil
	}
	if err := n.readSecrets(overlayName, read); err != nil {
		return nil, err
	}
	return func() []proof.Secret {
		n.mu.Lock()
		defer n.mu.Unlock()
		return n.secret
	}, nil
}

// readSecrets reads the secrets, and tells the sessions if they have changed.
func (n *network) readSecrets(overlayName string, read func() ([]proof.Secret, error)) error {
	secrets, err := read()
	if err == nil && len(secrets) == 0 {
		err = errNoSecret
	}
	if err != nil {
		err = fmt.Errorf("overlay %s gets no new sessions: its secret cannot be read: %w", overlayName, err)
	}
	n.mu.Lock()
	changed, before := false, n.secretErr
	n.secretErr = err
	if err == nil && !slices.Equal(n.secret, secrets) {
		changed = n.secret != nil
		n.secret = secrets
	}
	n.mu.Unlock()
	if err != nil {
		if before == nil || before.Error() != err.Error() {
			n.log.WithError(err).Error("no session opened, trying again")
		}
		return meaning{err, overlay.ErrReported}
	}
	if before != nil {
		n.log.Infof("the secret of overlay %s can be read again", overlayName)
	}
	if changed {
		n.log.Infof("the secrets of overlay %s have changed, there are %d now", overlayName, len(secrets))
		n.guesses.forget() // what failed may have been for a wrong secret here
		n.mu.Lock()
		links := slices.Collect(maps.Values(n.links))
		n.mu.Unlock()
		for _, l := range links {
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
		p.mu.Lock()
		running := slices.Collect(maps.Values(p.networks))
		p.mu.Unlock()
		for _, n := range running {
			n.mu.Lock()
			name := n.overlay
			n.mu.Unlock()
			if read := p.secrets[name]; read != nil {
				_ = n.readSecrets(name, read) // told by itself
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// account returns by which name a peer is told of: its account, or its node ID where that
// is not known any more.
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
