package session

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/pion/dtls/v3"

	"evio/datapath/record"
	"evio/datapath/session/connect"
	"evio/datapath/session/rekey"
	"evio/datapath/udp"
)

// firstHandshake is a handshake on the path that a search finds, and the keys that
// come of it. It keeps answering the peer's lost flights until it is stopped.
type firstHandshake struct {
	session *Session
	search  *connect.Search
	want    request
	path    atomic.Pointer[boundPath] // that was found
	keyed   chan error                // capacity 1: keys are in place, or there will be none
	cancel  context.CancelFunc
	done    chan struct{}
}

// startHandshake starts a first handshake; stop ends it.
func startHandshake(ctx context.Context, s *Session, search *connect.Search, want request) *firstHandshake {
	ctx, cancel := context.WithCancel(ctx)
	h := &firstHandshake{
		session: s,
		search:  search,
		want:    want,
		keyed:   make(chan error, 1),
		cancel:  cancel,
		done:    make(chan struct{}),
	}
	go func() {
		defer close(h.done)
		h.run(ctx)
	}()
	return h
}

// stop ends the handshake, if there is one, and waits for all that it started.
// Path and keys stay.
func (h *firstHandshake) stop() {
	if h == nil {
		return
	}
	h.cancel()
	<-h.done
}

func (h *firstHandshake) run(ctx context.Context) {
	s := h.session
	conn, err := newTaggedConn(s, h.want, &h.path)
	if err != nil {
		h.keyed <- err
		return
	}
	s.handshake.Store(conn)
	defer s.handshake.Store(nil)
	secure, err := dial(s, conn.Flights)
	if err != nil {
		h.keyed <- fmt.Errorf("prepare handshake: %w", err)
		return
	}
	defer func() {
		conn.Mute() // no close_notify: records show the peer that it is over
		hangUp(s, "handshake", secure)
	}()
	proved, err := h.agree(ctx, secure)
	if ctx.Err() != nil {
		return
	}
	h.keyed <- err
	proved.serve(ctx)
}

// agree waits for the path, runs the handshake on it and puts the keys in place, once the
// overlay's secret is proved.
func (h *firstHandshake) agree(ctx context.Context, secure *dtls.Conn) (*secretProof, error) {
	found, err := h.search.Wait(ctx)
	if err != nil {
		return nil, err
	}
	p := pathOf(h.session, found)
	h.path.Store(p)
	secret, err := connect.Exporter(ctx, secure)
	if err != nil {
		return nil, err
	}
	s := h.session
	if s.shown.Load() >= maxProofs {
		return nil, errUnproved
	}
	proved, err := prove(ctx, s, secure, secret, h.want.binding)
	if err != nil {
		return nil, err
	}
	if s.shown.Swap(0) > 0 {
		s.doubt() // another handshake was left undone first
	}
	secrets := record.Secrets{
		Exporter: secret,
		Salt:     proved.salt(),
		Binding:  h.want.binding,
		AEAD:     h.want.aead,
		Lower:    h.session.lower,
		Remote:   h.want.peer.Index,
	}
	keys, err := record.Derive(secrets)
	if err != nil {
		return nil, err
	}
	s.install(p, keys, secrets, proved)
	return proved, nil
}

// pathOf makes a path of what was found, in the first slot.
func pathOf(s *Session, found connect.Found) *boundPath {
	p := &boundPath{Route: found.Route, out: found.TURN, remoteType: found.RemoteType}
	if found.TURN == nil {
		p.out = s.transport.host(found.Route.Local)
	}
	return p
}

// newTaggedConn returns the connection that carries the flights of a first handshake, on a
// path as soon as there is one.
func newTaggedConn(s *Session, want request, at *atomic.Pointer[boundPath]) (*connect.TaggedConn, error) {
	return connect.NewTaggedConn(s.lower, want.peer.Index, want.binding, func(datagram []byte) {
		if p := at.Load(); p != nil {
			s.sendRuns(p, []udp.Run{{Bytes: datagram, Size: len(datagram)}}, 1)
		}
	})
}

// dial makes the DTLS connection of a handshake.
func dial(s *Session, f *connect.Flights) (*dtls.Conn, error) {
	end := connect.DTLS{Certificate: s.transport.certificate, Peer: s.options.RemoteKey, Client: s.lower, Log: s.log}
	return end.Dial(f)
}

// hangUp closes the DTLS connection of a handshake, which holds nothing that could be lost.
func hangUp(s *Session, what string, conn *dtls.Conn) {
	if err := conn.Close(); err != nil {
		s.log.WithError(err).Debugf("close %s", what)
	}
}

// rekeyHandshake is the handshake of one rekey. Its flights are protected records of the
// session, so nobody but the peer can disturb it, not even by an alert, which DTLS
// sends in clear until it has keys. It keeps answering the peer's lost flights until
// it is stopped.
type rekeyHandshake struct {
	*connect.Flights
	ended  chan rekeyResult // capacity 1: keys, or why there are none
	cancel context.CancelFunc
	done   chan struct{}
}

// rekeyResult is how the handshake of a rekey has ended.
type rekeyResult struct {
	keys   *record.Keys
	proved *secretProof
	err    error
}

// startRekey starts the handshake of a rekey; stop ends it.
func startRekey(ctx context.Context, s *Session, id uint32, terms record.Secrets) *rekeyHandshake {
	ctx, cancel := context.WithCancel(ctx)
	h := &rekeyHandshake{ended: make(chan rekeyResult, 1), cancel: cancel, done: make(chan struct{})}
	h.Flights = connect.NewFlights(func(b []byte) { s.sendRekey(rekey.Message{Op: rekey.OpFlight, ID: id, Body: b}) })
	terms.Generation = uint8(id)
	go func() {
		defer close(h.done)
		h.run(ctx, s, terms)
	}()
	return h
}

// stop ends the handshake, if there is one, and waits for all that it started. It
// returns the keys if nobody has received them yet.
func (h *rekeyHandshake) stop() rekeyResult {
	if h == nil {
		return rekeyResult{}
	}
	h.Mute()
	h.cancel()
	<-h.done
	select {
	case end := <-h.ended:
		return end
	default:
		return rekeyResult{err: context.DeadlineExceeded}
	}
}

func (h *rekeyHandshake) run(ctx context.Context, s *Session, terms record.Secrets) {
	secure, err := dial(s, h.Flights)
	if err != nil {
		h.ended <- rekeyResult{err: err}
		return
	}
	defer func() {
		h.Mute() // no close_notify: records show the peer that it is over
		hangUp(s, "rekey", secure)
	}()
	keys, proved, err := renewedKeys(ctx, s, secure, terms)
	h.ended <- rekeyResult{keys, proved, err}
	proved.serve(ctx)
}

// renewedKeys runs the handshake and makes keys as the first ones were made, by one of the
// secrets that the overlay has now.
func renewedKeys(ctx context.Context, s *Session, secure *dtls.Conn, terms record.Secrets) (*record.Keys, *secretProof, error) {
	secret, err := connect.Exporter(ctx, secure)
	if err != nil {
		return nil, nil, err
	}
	proved, err := prove(ctx, s, secure, secret, terms.Binding)
	if err != nil {
		return nil, nil, err
	}
	terms.Exporter, terms.Salt = secret, proved.salt()
	keys, err := record.Derive(terms)
	return keys, proved, err
}
