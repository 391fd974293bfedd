package session

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"evio/datapath/drops"
	"evio/datapath/proof"
	"evio/datapath/record"
	"evio/datapath/session/connect"
	"evio/datapath/session/path"
	"evio/datapath/session/rekey"
)

// Handler is told what happens to a session. Its methods are called one at a
// time and must not block.
type Handler interface {
	// Parameters hands over the own parameters, at most two seconds after Open. It
	// comes again before Established, with a relayed candidate more and all else
	// as it was, when no path is found without.
	Parameters(s *Session, parameters []byte)
	// Established says that keys are confirmed by both ends and records flow.
	Established(s *Session)
	// Receive hands over frames, which are valid during the call only. It comes
	// from the reader of the socket.
	Receive(s *Session, kind Kind, frames [][]byte)
	// Closed is the last call, made exactly once. After Close the error is
	// ErrClosed. It is ErrSecret or ErrUnproved, beside what else it is, whenever the peer
	// has got what lets it test a guess of the overlay's secret and has not proved one.
	Closed(s *Session, err error)
}

// Options describe a session.
type Options struct {
	Local, Remote [16]byte          // node IDs; the lower one is ICE controlling and DTLS client
	RemoteKey     ed25519.PublicKey // identity of the peer
	Overlay       string            // for logs
	// Secrets gives the overlay's secrets as they are now, the one to use first, at most
	// two; nil: the overlay has none. It is asked at each handshake, from goroutines of
	// the session, must not block, and always gives one at least.
	Secrets func() []proof.Secret
	// Doubt is told, from goroutines of the session, of a proof that is done and may have let
	// the peer test a guess of another secret than the one that it has. It must not block; nil:
	// nobody wants to know.
	Doubt      func()
	Encryption connect.Encryption // told to the peer and bound to the keys
	Location   string             // likewise
	Frames     []int              // lengths of the largest frames of each kind that the network sends, but for control
	Handler    Handler
	Log        *logrus.Entry // nil: the transport's
}

func (o Options) validate() error {
	var faults []error
	if len(o.RemoteKey) != ed25519.PublicKeySize {
		faults = append(faults, errors.New("the peer's key is missing"))
	}
	if o.Local == o.Remote {
		faults = append(faults, errors.New("both ends have the same node ID: two engines must not share one identity"))
	}
	if o.Handler == nil {
		faults = append(faults, errors.New("the handler is missing"))
	}
	if len(o.Location) > connect.MaxLocation {
		faults = append(faults, fmt.Errorf("location has %d bytes, at most %d are allowed", len(o.Location), connect.MaxLocation))
	}
	return errors.Join(faults...)
}

// largestRecord is the size of the largest records that the network's frames become.
func (o Options) largestRecord() int {
	size := 0
	for _, frame := range o.Frames {
		size = max(size, record.Largest(frame))
	}
	if size == 0 {
		return record.MaxSize
	}
	return size
}

// request is what Connect asks for.
type request struct {
	peer    connect.Parameters
	aead    record.AEAD
	binding [32]byte
}

// Session is a connection to one peer in one overlay. One goroutine owns it
// (life.go); the socket's reader opens its records (receive.go).
type Session struct {
	transport *Transport
	options   Options
	log       *logrus.Entry
	lower     bool // this end has the lower node ID
	index     uint32
	own       connect.Parameters // complete once the state has left Gathering, but for the candidates
	hosts     []netip.AddrPort
	opened    time.Time

	mu          sync.Mutex // guards state, established, wanted, newest, peer and own.Candidates
	state       State
	established time.Time
	wanted      *request         // newest request of Connect that the owner has not taken
	newest      [32]byte         // its binding, also when it was taken
	peer        []path.Candidate // of the peer, those told last

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

	rejoiner     record.Rejoiner // the reader's
	foreign      event           // the reader's: the last foreignRecord
	pinger       path.Pinger
	lastReceived atomic.Int64 // transport time of the last valid record
	relayHeard   atomic.Int64 // transport time of the last one that came by an own relay
	moves        atomic.Uint64
	full         int          // size of the largest records that are sent
	limit        atomic.Int32 // how large records may be on the present path
	large        atomic.Bool  // frames that make large records were sent since the owner looked
	traffic      traffic
	drops        drops.Counters
}

// sizeable is the length from which on a frame may make records that a path does not take.
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

// Connect starts, or starts again, to connect to a peer with these parameters. Of
// newer ones with the same credentials the candidates are added to the search for
// a path.
// The caller has verified who signed them; binding is the hash over both ends'
// signed parameters that both must have in common. A repetition of the newest
// call, which the same binding shows, changes nothing.
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

// Send protects and sends frames of one kind. A frame that does not fit one
// record is cut. Frames that cannot be sent are counted; the error is that of
// the first of them.
func (s *Session) Send(kind Kind, frames [][]byte) error {
	if kind.own() || kind.limit() == 0 {
		return fmt.Errorf("send %v: %w", kind, ErrKind)
	}
	if s.State() != Established {
		s.drops.AddN(drops.SendPath, uint64(len(frames)))
		return ErrNotEstablished
	}
	var first error
	for _, frame := range frames {
		err := s.sendFrame(kind, frame)
		if err == nil {
			s.traffic.txFrames.Add(1)
			s.traffic.txBytes.Add(uint64(len(frame)))
		} else if first == nil {
			first = err
		}
	}
	return first
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
		reason = *why // which is why the peer does
	}
	s.endOnce.Do(func() {
		s.endReason = reason
		close(s.ending)
	})
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

// candidates returns the own candidates as they are told.
func (s *Session) candidates() []path.Candidate {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.own.Candidates
}

func (s *Session) setCandidates(candidates []path.Candidate) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.own.Candidates = candidates
}

// setPeer keeps what the peer has told, for Info.
func (s *Session) setPeer(candidates []path.Candidate) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.peer = candidates
}

// usable returns those candidates of the peer that are tried.
func (s *Session) usable(candidates []path.Candidate) []path.Candidate {
	kept, removed := path.LimitPrivate(s.transport.usable(candidates), s.hosts)
	s.drops.AddN(drops.PathLimit, removed)
	return kept
}
