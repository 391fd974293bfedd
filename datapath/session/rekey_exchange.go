package session

import (
	"context"

	"github.com/pion/dtls/v3"

	"evio/datapath/record"
	"evio/datapath/session/connect"
	"evio/datapath/session/rekey"
)

// exchange is the handshake of one rekey. Its flights are protected records of the
// session, so nobody but the peer can disturb it, also not by an alert, which DTLS
// sends in clear until it has keys. It keeps answering the peer's lost flights until
// it is stopped.
type exchange struct {
	*connect.Flights
	ended  chan exchanged // capacity 1: keys, or why there are none
	cancel context.CancelFunc
	done   chan struct{}
}

type exchanged struct {
	keys   *record.Keys
	proved *proving
	err    error
}

// exchange starts the handshake of a rekey; stop ends it.
func (s *Session) exchange(ctx context.Context, id uint32, terms record.Secrets) *exchange {
	ctx, cancel := context.WithCancel(ctx)
	x := &exchange{ended: make(chan exchanged, 1), cancel: cancel, done: make(chan struct{})}
	x.Flights = connect.NewFlights(func(b []byte) { s.sendRekey(rekey.Message{Op: rekey.OpFlight, ID: id, Body: b}) })
	terms.Generation = uint8(id)
	go func() {
		defer close(x.done)
		x.run(ctx, s, terms)
	}()
	return x
}

// stop ends the exchange, if there is one, and waits for all that it started. It
// returns the keys if nobody has received them yet.
func (x *exchange) stop() exchanged {
	if x == nil {
		return exchanged{}
	}
	x.Mute()
	x.cancel()
	<-x.done
	select {
	case end := <-x.ended:
		return end
	default:
		return exchanged{err: context.DeadlineExceeded}
	}
}

func (x *exchange) run(ctx context.Context, s *Session, terms record.Secrets) {
	secure, err := s.dtls().Dial(x.Flights)
	if err != nil {
		x.ended <- exchanged{err: err}
		return
	}
	defer func() {
		x.Mute() // no close_notify: records show the peer that it is over
		s.release("rekey", secure.Close)
	}()
	keys, proved, err := s.renewed(ctx, secure, terms)
	x.ended <- exchanged{keys, proved, err}
	proved.serve(ctx)
}

// renewed runs the handshake and makes keys as the first ones were made, by one of the
// secrets that the overlay has now.
func (s *Session) renewed(ctx context.Context, secure *dtls.Conn, terms record.Secrets) (*record.Keys, *proving, error) {
	secret, err := connect.Exporter(ctx, secure)
	if err != nil {
		return nil, nil, err
	}
	proved, err := s.prove(ctx, secure, secret, terms.Binding)
	if err != nil {
		return nil, nil, err
	}
	terms.Exporter, terms.Salt = secret, proved.salt()
	keys, err := record.Derive(terms)
	return keys, proved, err
}
