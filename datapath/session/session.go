package session

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"evio/datapath/drops"
	"evio/datapath/frame"
	"evio/datapath/proof"
	"evio/datapath/record"
	"evio/datapath/session/connect"
	"evio/datapath/session/path"
	"evio/datapath/session/rekey"
)

// request is what Connect asks for.
type request struct {
	peer    connect.Parameters
	aead    record.AEAD
	binding [32]byte
}

// Session is a connection to one peer in one overlay. One goroutine owns it
// (life.go); the readers of the socket and of TURN servers open its records (receive.go).
type Session struct {
	transport *Transport
	options   Options
	log       *logrus.Entry
	lower     bool // this end has the lower node ID
	index     uint32
	own       connect.Parameters // complete once the state has left Gathering, except the candidates
	hosts     []netip.AddrPort
	opened    time.Time

	mu          sync.Mutex // guards state, established, wanted, newest, peer and own.Candidates
	state       State
	established time.Time
	wanted      *request         // newest request of Connect that the owner has not taken
	newest      [32]byte         // its binding, kept when it was taken
	peer        []path.Candidate // of the peer, the newest

	wake        chan struct{} // capacity 1: wanted was set
	confirmed   chan struct{} // closed when the session is established
	readdressed chan struct{} // capacity 1: own addresses may have changed
	events      chan event    // from the reader, once established; what finds no room is dropped
	ending      chan struct{} // closed by the first end
	endOnce     sync.Once
	endReason   error // set before ending is closed

	calls sync.Mutex // makes calls of the handler one at a time; guards ended
	ended bool

	keys      rekey.Keyring
	shown     atomic.Int32                 // handshakes in which the peer got what lets it test a guess of the secret and proved nothing; those before the session was established count until it proves one
	proved    atomic.Pointer[proof.Secret] // that the keys in use were made with, nil for none
	refused   atomic.Pointer[error]        // why the session ends soon: a secret was not proved again
	path      atomic.Pointer[boundPath]
	handshake atomic.Pointer[connect.TaggedConn]
	rekeyer   atomic.Pointer[rekeyer] // while the session is established
	frameID   atomic.Uint32

	receiving    sync.Mutex // guards the openers of keys, and the next two
	rejoiner     record.Rejoiner
	foreign      event // the last foreignRecord
	pinger       path.Pinger
	lastReceived atomic.Int64 // transport time of the last valid record
	turnHeard    atomic.Int64 // transport time of the last one that came through the own TURN allocation
	moves        atomic.Uint64
	full         int          // size of the largest records that are sent
	limit        atomic.Int32 // how large records may be on the present path
	large        atomic.Bool  // frames that make large records were sent since the owner looked
	kinds        atomic.Pointer[frame.Kinds]
	traffic      traffic
	drops        drops.Counters
}

// sizeable is the length of the shortest frame whose records a path may not take.
const sizeable = 400

// Open makes a session and starts to gather candidates.
func (t *Transport) Open(options Options) (*Session, error) {
	if err := options.validate(); err != nil {
		return nil, fmt.Errorf("open session: %w", err)
	}
	log := options.Log
	if log == nil {
		log = t.log.WithField("overlay", options.Overlay)
	}
	s := &Session{
		transport: t,
		options:   options,
		log:       log,
		lower:     bytes.Compare(options.Local[:], options.Remote[:]) < 0,
		opened:    time.Now(),
		full:      options.largestRecord(),
		wake:      make(chan struct{}, 1),
		confirmed: make(chan struct{}),

		readdressed: make(chan struct{}, 1),
		events:      make(chan event, maxEvents),

		ending: make(chan struct{}),
	}
	s.limit.Store(record.MaxSize)
	ufrag, password, err := connect.Credentials()
	if err != nil {
		return nil, fmt.Errorf("open session: %w", err)
	}
	if err := t.add(s); err != nil {
		return nil, fmt.Errorf("open session: %w", err)
	}
	s.own = connect.Parameters{
		MinVersion: connect.MinVersion,
		MaxVersion: connect.MaxVersion,
		Index:      s.index,
		Ufrag:      ufrag,
		Password:   password,
		AEADs:      record.Supported(),
		Encryption: options.Encryption,
		Location:   options.Location,
		Secret:     options.Secrets != nil,
	}
	go s.run() // ends with the session; Transport.Close waits for it
	return s, nil
}

// Connect starts, or starts again, to connect to a peer with these parameters. If the search
// for a path has begun with the same credentials, the candidates are added to it. The caller
// has verified who signed the parameters. binding is the hash over both ends' signed
// parameters, which both must have in common. A call with the same binding as the newest one
// changes nothing.
func (s *Session) Connect(remote []byte, binding [32]byte) error {
	peer, err := connect.ParseParameters(remote)
	if err != nil {
		return fmt.Errorf("connect session: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch s.state {
	case Gathering:
		return fmt.Errorf("connect session: %w", ErrNotReady)
	case Established:
		return fmt.Errorf("connect session: %w", ErrEstablished)
	case Closed:
		return fmt.Errorf("connect session: %w", ErrClosed)
	default: // ready, or connecting with older parameters
	}
	peer.Candidates = s.usable(peer.Candidates)
	if s.state == Connecting && s.newest == binding {
		return nil
	}
	aead, err := agree(s.own, peer)
	if err != nil {
		return fmt.Errorf("connect session: %w", err)
	}
	s.wanted = &request{peer: peer, aead: aead, binding: binding}
	s.peer = peer.Candidates
	s.newest, s.state = binding, Connecting
	select {
	case s.wake <- struct{}{}:
	default:
	}
	return nil
}

// Merge says which kinds of super-frames the handler takes. Segments that continue one another
// are handed over as such, unless the transport's configuration forbids it. Before the first
// call it takes none.
func (s *Session) Merge(kinds frame.Kinds) { s.kinds.Store(&kinds) }

// mergeable returns the kinds of super-frames that segments are merged into.
func (s *Session) mergeable() frame.Kinds {
	if kinds := s.kinds.Load(); kinds != nil && s.transport.config.Offload.Merge {
		return *kinds
	}
	return frame.Kinds{}
}

// State returns where the session stands.
func (s *Session) State() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

// Close ends the session; the handler's Closed follows. It may be called again.
func (s *Session) Close() { s.end(ErrClosed) }

// end asks the owner to end the session; the first reason counts.
func (s *Session) end(reason error) {
	if why := s.refused.Load(); why != nil && errors.Is(reason, ErrPeerClosed) {
		reason = *why // because of this the peer has closed it
	}
	s.endOnce.Do(func() {
		s.endReason = reason
		close(s.ending)
	})
}

// SecretsChanged is called when Options.Secrets returns others than before. If the secret that
// the session was made with is no longer among them, the session gets keys by one that is,
// within two minutes, or it ends.
func (s *Session) SecretsChanged() {
	if r := s.rekeyer.Load(); r != nil {
		select {
		case r.secrets <- struct{}{}:
		default: // it is going to look
		}
	}
}

// agree returns the cipher of a session between two ends, or one sentence that
// says why there can be none.
func agree(own, peer connect.Parameters) (record.AEAD, error) {
	if peer.MaxVersion < own.MinVersion || own.MaxVersion < peer.MinVersion {
		return 0, fmt.Errorf("no common protocol version: this node speaks %d–%d, the peer %d–%d; upgrade the older one",
			own.MinVersion, own.MaxVersion, peer.MinVersion, peer.MaxVersion)
	}
	if own.Secret != peer.Secret {
		return 0, errSecret(own.Secret)
	}
	aead, err := record.Choose(own.AEADs, peer.AEADs)
	if err != nil {
		return 0, fmt.Errorf("this node offers %v, the peer %v: %w", own.AEADs, peer.AEADs, err)
	}
	return aead, nil
}
