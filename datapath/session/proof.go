package session

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/pion/dtls/v3"

	"evio/datapath/drops"
	"evio/datapath/proof"
)

const (
	proofInterval = 250 * time.Millisecond // between two transmissions of a message
	maxProofs     = 2                      // that a session begins for a peer that leaves them undone, because each lets it test a guess
	proofLapse    = 2 * time.Minute        // that a session outlives the secret that it was made with
)

// secretProof is the proof of an overlay secret over a connection whose handshake is done. It
// belongs to one goroutine. nil stands for an overlay without a secret, and proves nothing.
type secretProof struct {
	session *Session
	conn    *dtls.Conn
	prover  *proof.Prover
	secrets []proof.Secret
	buffer  [proof.MaxMessage + 1]byte // one more: a longer message is malformed
}

// prove has both ends prove a secret to each other. It returns when they have, or why they
// have not. If the overlay has no secret it does nothing.
func prove(ctx context.Context, s *Session, conn *dtls.Conn, exporter []byte, binding [32]byte) (*secretProof, error) {
	if s.options.Secrets == nil {
		return nil, nil
	}
	secrets := s.options.Secrets()
	prover, err := proof.New(s.lower, secrets, exporter, binding)
	if err != nil {
		return nil, err
	}
	p := &secretProof{session: s, conn: conn, prover: prover, secrets: secrets}
	context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Now()) })
	for prover.State() <= proof.Shown {
		if m := prover.Say(); m != nil {
			if _, err := conn.Write(m); err != nil {
				return nil, fmt.Errorf("prove the overlay's secret: %w", err)
			}
		}
		if err := p.listen(ctx, proofInterval); err != nil {
			return nil, err
		}
	}
	if prover.State() == proof.Refused {
		return nil, fmt.Errorf("%w: the peer has none that is in the file of this node; compare the files of both", ErrSecret)
	}
	if s.lower {
		s.shown.Add(-1) // this one is not left undone
	}
	if prover.Mixed() {
		s.doubt()
	}
	return p, nil
}

// serve answers a peer that has missed a message of the proof, until the context ends.
func (p *secretProof) serve(ctx context.Context) {
	var err error
	for p != nil && err == nil {
		err = p.listen(ctx, time.Minute)
	}
	<-ctx.Done()
}

// salt is what both ends mix into their keys, nil for nothing.
func (p *secretProof) salt() []byte {
	if p == nil {
		return nil
	}
	return p.prover.Salt()
}

// keep notes the secret that the keys in use were made with.
func (p *secretProof) keep() {
	if p != nil {
		p.session.proved.Store(&p.secrets[p.prover.Used()])
	}
}

// listen takes messages of the peer for a while. It returns early when the state has changed.
func (p *secretProof) listen(ctx context.Context, wait time.Duration) error {
	_ = p.conn.SetReadDeadline(time.Now().Add(wait))
	for before := p.prover.State(); p.prover.State() == before; {
		if ctx.Err() != nil { // after the deadline was set: the end of the context sets another
			return ctx.Err()
		}
		n, err := p.conn.Read(p.buffer[:])
		var timeout net.Error
		switch {
		case errors.As(err, &timeout) && timeout.Timeout():
			return ctx.Err()
		case err != nil:
			return fmt.Errorf("prove the overlay's secret: %w", err)
		}
		answer, err := p.prover.Hear(p.buffer[:n])
		if err != nil {
			p.session.drops.Add(drops.HandshakeProof)
			continue
		}
		if now := p.prover.State(); before == proof.Waiting && now != before && now != proof.Proved {
			p.session.shown.Add(1)
		}
		if answer != nil {
			if _, err := p.conn.Write(answer); err != nil {
				return fmt.Errorf("prove the overlay's secret: %w", err)
			}
		}
	}
	return nil
}

// lapsed reports whether the secret that the keys were made with has left the file.
func (s *Session) lapsed() bool {
	used := s.proved.Load()
	return used != nil && !slices.Contains(s.options.Secrets(), *used)
}
