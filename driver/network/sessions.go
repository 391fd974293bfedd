package network

import (
	"crypto/ed25519"
	"errors"
	"time"

	"evio/datapath/frame"
	"evio/datapath/packet"
	"evio/datapath/session"
	"evio/datapath/session/connect"
	"evio/overlay"
	"evio/overlay/flood"
	"evio/overlay/nodeid"
)

var (
	_ overlay.Sessions = sessions{}
	_ overlay.Fabric   = fabric{}
	_ overlay.Session  = overlaySession{}
	_ session.Handler  = (*events)(nil)
)

// sessions opens the data path's sessions for the overlay.
type sessions struct{ n *network }

func (s sessions) Open(peer nodeid.ID, key ed25519.PublicKey, ev overlay.SessionEvents) (overlay.Session, error) {
	node := s.n.currentNode()
	secrets, err := s.n.secret.of(node.Overlay())
	if err != nil {
		return nil, err
	}
	account := s.n.account(peer)
	if err := s.n.guesses.Admit(account, time.Now()); err != nil {
		return nil, err
	}
	opened, err := s.n.plane.transport.Open(session.Options{
		Local: node.ID(), Remote: peer, RemoteKey: key, Overlay: node.Overlay(),
		Secrets: secrets, Doubt: func() { s.n.guesses.Doubt(account, time.Now()) }, Encryption: connect.EncryptionRequired,
		Frames:  []int{s.n.spec.MTU + packet.HeaderLen, s.n.spec.MTU + packet.HeaderLen + flood.HeaderLen},
		Handler: &events{n: s.n, peer: peer, account: account, up: ev}, Log: s.n.log.WithField("peer", peer),
	})
	if err != nil {
		s.n.guesses.Ended(account)
		return nil, err
	}
	return overlaySession{opened}, nil
}

// overlaySession is a session as the overlay sees it.
type overlaySession struct{ *session.Session }

func (c overlaySession) Connect(parameters []byte, binding [32]byte) error {
	return translateError(c.Session.Connect(parameters, binding))
}

func (c overlaySession) SendControl(frames [][]byte) error { return c.Send(session.Control, frames) }
func (c overlaySession) SendFlood(frames [][]byte) error   { return c.Send(session.Flood, frames) }

// translatedError is an error of a session that the overlay knows by a name of its own.
type translatedError struct {
	error
	name error
}

func (t translatedError) Unwrap() []error { return []error{t.error, t.name} }

// translateError gives an error the name by which the overlay knows it, if there is one.
func translateError(err error) error {
	switch {
	case errors.Is(err, session.ErrEstablished):
		return translatedError{err, overlay.ErrEstablished}
	case errors.Is(err, session.ErrClosed):
		return translatedError{err, overlay.ErrClosed}
	case errors.Is(err, session.ErrSecret):
		return translatedError{err, overlay.ErrSecret}
	}
	return err
}

// events takes what a session reports: data frames go to the bridge, all else to
// the overlay.
type events struct {
	n       *network
	peer    nodeid.ID
	account string
	up      overlay.SessionEvents
}

func (e *events) Parameters(_ *session.Session, p []byte) { e.up.Parameters(p) }

func (e *events) Established(*session.Session) {
	e.n.guesses.Proved(e.account)
	e.up.Established()
}
func (e *events) Closed(_ *session.Session, err error) {
	if err = translateError(err); errors.Is(err, session.ErrSecret) || errors.Is(err, session.ErrUnproved) {
		e.n.guesses.Failed(e.account, err, time.Now())
	} else {
		e.n.guesses.Ended(e.account)
	}
	e.up.Closed(err)
}
func (e *events) Frames(_ *session.Session, frames []frame.Frame) { e.n.links.receive(e.peer, frames) }

func (e *events) Receive(_ *session.Session, kind session.Kind, frames [][]byte) {
	switch kind {
	case session.Control:
		e.up.Control(frames)
	case session.Flood:
		e.up.Flood(frames)
	case session.Data, session.Envelope, session.Probe, session.Rekey:
		e.n.count(&e.n.drops.malformed)
	}
}

// fabric is the network as the overlay sees it.
type fabric struct{ n *network }

func (f fabric) LinkUp(peer nodeid.ID, s overlay.Session) {
	if c, ok := s.(overlaySession); ok {
		f.n.links.up(peer, c.Session)
	}
}
func (f fabric) LinkDown(peer nodeid.ID) { f.n.links.down(peer) }
func (f fabric) DirectoryChanged(changes []overlay.Change) {
	f.n.follow(changes)
	f.n.rules.Follow(changes)
	f.n.pending.release(f.n.currentNode().Table(), time.Now())
	f.n.announceMoves(changes)
	f.n.claimer.follow(changes)
}
func (f fabric) Deliver(origin nodeid.ID, frame []byte) bool {
	return f.n.pending.deliver(origin, frame)
}
func (f fabric) DeliverOrHold(origin nodeid.ID, frame []byte) {
	f.n.pending.deliverOrHold(f.n.currentNode().Table(), origin, frame, time.Now())
}
