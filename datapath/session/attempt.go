package session

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/pion/dtls/v3"

	"evio/datapath/record"
	"evio/datapath/session/connect"
)

// attempt is a handshake on the path that a search finds, and the keys that
// come of it. It keeps answering the peer's lost flights until it is stopped.
type attempt struct {
	session *Session
	search  *connect.Search
	want    request
	path    atomic.Pointer[boundPath] // that was found
	keyed   chan error                // capacity 1: keys are in place, or there will be none
	cancel  context.CancelFunc
	done    chan struct{}
}

// begin starts an attempt; stop ends it.
func (s *Session) begin(ctx context.Context, search *connect.Search, want request) *attempt {
	ctx, cancel := context.WithCancel(ctx)
	a := &attempt{
		session: s,
		search:  search,
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
	conn, err := s.tagged(a.want, &a.path)
	if err != nil {
		a.keyed <- err
		return
	}
	s.handshake.Store(conn)
	defer s.handshake.Store(nil)
	secure, err := s.dtls().Dial(conn.Flights)
	if err != nil {
		a.keyed <- fmt.Errorf("prepare handshake: %w", err)
		return
	}
	defer func() {
		conn.Mute() // no close_notify: the peer's attempt ends by records
		s.release("handshake", secure.Close)
	}()
	proved, err := a.agree(ctx, secure)
	if ctx.Err() != nil {
		return
	}
	a.keyed <- err
	proved.serve(ctx)
}

// agree waits for the path, runs the handshake on it and puts the keys in place, once the
// overlay's secret is proved.
func (a *attempt) agree(ctx context.Context, secure *dtls.Conn) (*proving, error) {
	found, err := a.search.Wait(ctx)
	if err != nil {
		return nil, err
	}
	p := a.session.pathOf(found)
	a.path.Store(p)
	secret, err := connect.Exporter(ctx, secure)
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

// pathOf makes a path of what was found, in the first slot.
func (s *Session) pathOf(found connect.Found) *boundPath {
	p := &boundPath{Route: found.Route, out: found.TURN, remoteType: found.RemoteType}
	if found.TURN == nil {
		p.out = s.transport.host(found.Route.Local)
	}
	return p
}

// tagged returns the connection that carries the flights of a handshake, bare on a path as
// soon as there is one.
func (s *Session) tagged(want request, at *atomic.Pointer[boundPath]) (*connect.TaggedConn, error) {
	return connect.NewTaggedConn(s.lower, want.peer.Index, want.binding, func(datagram []byte) {
		if p := at.Load(); p != nil {
			s.sendDatagram(p, datagram)
		}
	})
}

// dtls describes the DTLS connections of the session.
func (s *Session) dtls() connect.DTLS {
	return connect.DTLS{Certificate: s.transport.certificate, Peer: s.options.RemoteKey, Client: s.lower, Log: s.log}
}

// release closes what holds nothing that could be lost.
func (s *Session) release(what string, closer func() error) {
	if err := closer(); err != nil {
		s.log.WithError(err).Debugf("close %s", what)
	}
}
