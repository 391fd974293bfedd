package session

import (
	"context"
	"fmt"

	"github.com/pion/dtls/v3"

	"evio/datapath/record"
)

// attempt is a handshake on the path that a finder finds, and the keys that
// come of it. It keeps answering the peer's lost flights until it is stopped.
type attempt struct {
	session *Session
	finder  *finder
	want    connection
	keyed   chan error // capacity 1: keys are in place, or there will be none
	cancel  context.CancelFunc
	done    chan struct{}
}

// begin starts an attempt; stop ends it.
func (s *Session) begin(ctx context.Context, f *finder, want connection) *attempt {
	ctx, cancel := context.WithCancel(ctx)
	a := &attempt{
		session: s,
		finder:  f,
		want:    want,
		keyed:   make(chan error, 1),
		cancel:  cancel,
		done:    make(chan struct{}),
	}
	go func() {
		defer close(a.done)
		a.run(ctx)
	}()
	return a
}

// stop ends the attempt, if there is one, and waits for all that it started.
// Path and keys stay.
func (a *attempt) stop() {
	if a == nil {
		return
	}
	a.cancel()
	<-a.done
}

func (a *attempt) run(ctx context.Context) {
	s := a.session
	conn, err := newHandshakeConn(s, a.want)
	if err != nil {
		a.keyed <- err
		return
	}
	s.handshake.Store(conn)
	defer s.handshake.Store(nil)
	secure, err := s.dial(&conn.flights)
	if err != nil {
		a.keyed <- fmt.Errorf("prepare handshake: %w", err)
		return
	}
	defer func() {
		conn.muted.Store(true) // no close_notify: the peer's attempt ends by records
		s.release("handshake", secure.Close)
	}()
	proved, err := a.agree(ctx, conn, secure)
	if ctx.Err() != nil {
		return
	}
	a.keyed <- err
	proved.serve(ctx)
}

// agree waits for the path, runs the handshake on it and puts the keys in place, once the
// overlay's secret is proved.
func (a *attempt) agree(ctx context.Context, conn *handshakeConn, secure *dtls.Conn) (*proving, error) {
	p, err := a.finder.wait(ctx)
	if err != nil {
		return nil, err
	}
	conn.path.Store(p)
	secret, err := exported(ctx, secure)
	if err != nil {
		return nil, err
	}
	s := a.session
	if s.shown.Load() >= maxProofs {
		return nil, errUnproved
	}
	proved, err := s.prove(ctx, secure, secret, a.want.binding)
	if err != nil {
		return nil, err
	}
	if s.shown.Swap(0) > 0 {
		s.doubt() // another handshake was left undone first
	}
	secrets := record.Secrets{
		Exporter: secret,
		Salt:     proved.salt(),
		Binding:  a.want.binding,
		AEAD:     a.want.aead,
		Lower:    a.session.lower,
		Remote:   a.want.peer.Index,
	}
	keys, err := record.Derive(secrets)
	if err != nil {
		return nil, err
	}
	s.install(p, keys, secrets, proved)
	return proved, nil
}

// release closes what holds nothing that could be lost.
func (s *Session) release(what string, closer func() error) {
	if err := closer(); err != nil {
		s.log.WithError(err).Debugf("close %s", what)
	}
}
