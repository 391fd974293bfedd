package session

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/webrtc/v4"
	"github.com/sirupsen/logrus"

	"evio/datapath/drops"
	"evio/datapath/icemux"
	"evio/datapath/session/connect"
	"evio/datapath/session/path"
	"evio/datapath/turn"
	"evio/datapath/udp"
)

// Config describes the transport of a process.
type Config struct {
	// Port is the UDP port of all sessions, 0 for any free one.
	Port int
	// Key is the identity of this engine.
	Key ed25519.PrivateKey
	// ICEServers lists the STUN and TURN servers, in the order in which they are tried.
	// Those with stun: URLs say which addresses NATs show; at most four are asked. Those
	// with turn: and turns: URLs relay to peers that cannot be reached directly; their
	// Credential is a TURNAccess.
	ICEServers []webrtc.ICEServer
	// Lookup resolves the names of ICE servers, for network "ip"; nil: the system's
	// resolver.
	Lookup func(ctx context.Context, network, host string) ([]netip.Addr, error)
	// Offload says what the kernel may do for many datagrams at once, and whether segments
	// are merged again before they are handed over. The zero value is nothing.
	Offload Offload
	// RekeyEvery is how long keys of a session are used, 0 for an hour.
	RekeyEvery time.Duration
	// ExcludeInterface reports whether the addresses of an interface are no candidates,
	// because it is one of the plugin's TAPs or bridges, for example. nil excludes none.
	// Loopback, docker, bridge, veth and Open vSwitch interfaces are never used.
	ExcludeInterface func(name string) bool
	// IncludeLoopback makes loopback addresses candidates, for tests of several
	// transports on one machine.
	IncludeLoopback bool
	// Reopened is called each time the socket is open again after it had failed, from the
	// goroutine that reads from it. nil: nothing is called.
	Reopened func()
	// Log receives the messages of the transport; nil discards them.
	Log *logrus.Entry
}

// Offload says how much passes in one piece.
type Offload struct {
	UDP   udp.Offload
	Merge bool // super-frames are made of segments again
}

// AllOffloads is whatever the kernel can do.
func AllOffloads() Offload {
	return Offload{UDP: udp.Offload{Send: true, Receive: true}, Merge: true}
}

func (c Config) validate() error {
	var faults []error
	if len(c.Key) != ed25519.PrivateKeySize {
		faults = append(faults, errors.New("identity key is missing: load or make one first"))
	}
	if c.RekeyEvery < 0 {
		faults = append(faults, fmt.Errorf("keys cannot be used for %v: give a time above zero", c.RekeyEvery))
	}
	_, _, err := iceServers(c.ICEServers)
	return errors.Join(append(faults, err)...)
}

// socket is what a transport needs of package udp.
type socket interface {
	icemux.Socket
	SendRuns(source udp.Source, remote netip.AddrPort, runs []udp.Run) (sent int, err error)
	Run(deliver func([]udp.Datagram), changed func(error)) error
	Port() int
	Stats() udp.Stats
	Offloads() udp.Offloads
	Close() error
}

// Transport is the UDP socket of the process with all its sessions.
type Transport struct {
	config        Config
	log           *logrus.Entry
	socket        socket
	mux           *icemux.Mux
	filter        icemux.HostFilter
	gatherer      *connect.Gatherer
	turnServers   []turn.Server
	turnPool      allocationPool // nil: none
	turnAdmission turnAdmission  // of the relayed address
	certificate   tls.Certificate
	epoch         time.Time // zero of the times that sessions keep
	drops         drops.Counters
	batches       sync.Pool // of *batch
	outboxes      sync.Pool // of *outbox
	turnReaders   sync.Pool // of *reader
	socketReader  *reader

	mu       sync.Mutex // guards closed and changes of sessions
	closed   bool
	sessions atomic.Pointer[map[uint32]*Session] // replaced, never changed

	fault  atomic.Pointer[error] // why the socket is not open, nil: it is
	opened chan struct{}         // closed when it is for the first time

	owners sync.WaitGroup // one for each session's goroutine
	reader chan struct{}  // closed when the reader has ended
}

// Listen opens the socket and starts to read from it. It is no error if the port is taken:
// the transport asks for it again until it gets it, and no session works before that. See
// Fault and Opened.
func Listen(config Config) (*Transport, error) {
	if err := config.validate(); err != nil {
		return nil, err
	}
	s, err := udp.New(config.Port, config.Offload.UDP)
	if err != nil {
		return nil, err
	}
	fault := s.Open()
	t, err := newTransport(config, s, icemux.Hosts, fault)
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	if len(t.turnServers) > 0 {
		pool, err := turn.New(turn.Config{
			Servers: t.turnServers,
			Resolve: func(ctx context.Context, host string) ([]netip.Addr, error) {
				return t.gatherer.Lookup(ctx, "ip", host)
			},
			Log:           t.log,
			AllowLoopback: config.IncludeLoopback,
			Offload:       config.Offload.UDP,
			Deliver: func(a *turn.Allocation, batch []udp.Datagram) {
				t.deliverTURN(a, batch)
			},
		})
		if err != nil {
			return nil, errors.Join(err, t.Close())
		}
		t.turnPool = turnPool{pool}
	}
	return t, nil
}

// newTransport makes the transport of a socket that is open, unless fault says why not.
func newTransport(config Config, s socket, hosts func(icemux.HostFilter) ([]netip.Addr, error), fault error) (*Transport, error) {
	certificate, err := connect.SelfSigned(config.Key)
	if err != nil {
		return nil, err
	}
	reflectors, turnServers, err := iceServers(config.ICEServers)
	if err != nil {
		return nil, err
	}
	t := &Transport{
		config:      config,
		log:         orDiscard(config.Log),
		socket:      s,
		opened:      make(chan struct{}),
		filter:      icemux.HostFilter{Exclude: config.ExcludeInterface, IncludeLoopback: config.IncludeLoopback},
		gatherer:    connect.NewGatherer(),
		turnServers: turnServers,
		certificate: certificate,
		epoch:       time.Now(),
		batches:     sync.Pool{New: func() any { return new(batch) }},
		reader:      make(chan struct{}),
	}
	t.outboxes.New = func() any { return &outbox{batch: new(batch)} }
	t.turnReaders.New = func() any { return &reader{transport: t} }
	t.socketReader = &reader{transport: t}
	t.mux = icemux.New(s, &t.drops)
	g := t.gatherer
	g.Mux, g.Port, g.STUN, g.Lookup, g.Log = t.mux, t.Port, reflectors, config.Lookup, t.log
	g.Addrs = func() ([]netip.Addr, error) { return hosts(t.filter) }
	if g.Lookup == nil {
		g.Lookup = net.DefaultResolver.LookupNetIP
	}
	t.sessions.Store(&map[uint32]*Session{})
	if fault == nil {
		close(t.opened)
	} else {
		t.fault.Store(&fault)
	}
	go t.read() // ended by Close
	return t, nil
}

func orDiscard(log *logrus.Entry) *logrus.Entry {
	if log != nil {
		return log
	}
	silent := logrus.New()
	silent.SetOutput(io.Discard)
	return logrus.NewEntry(silent)
}

func (t *Transport) read() {
	defer close(t.reader)
	if err := t.socket.Run(t.deliver, t.socketChanged); err != nil && !errors.Is(err, udp.ErrClosed) {
		t.log.WithError(err).Error("UDP socket has ended: no session will work until the plugin is restarted")
	}
}

// socketChanged takes the reason why the socket is not open, or nil when it is open.
func (t *Transport) socketChanged(fault error) {
	if fault != nil {
		t.fault.Store(&fault)
		t.log.WithError(fault).Error("sessions with other sites wait for the UDP port, which is asked for again until it can be had; networks of this engine work meanwhile")
		return
	}
	t.fault.Store(nil)
	t.log.WithField("port", t.Port()).Info("the UDP port is open")
	select {
	case <-t.opened:
	default:
		close(t.opened)
		return
	}
	t.AddressesChanged()
	if t.config.Reopened != nil {
		t.config.Reopened()
	}
}

// Fault returns why the socket is not open at present, nil if it is.
func (t *Transport) Fault() error {
	if fault := t.fault.Load(); fault != nil {
		return *fault
	}
	return nil
}

// Opened is closed when the socket is open for the first time. Before that there is nothing
// to announce to peers.
func (t *Transport) Opened() <-chan struct{} { return t.opened }

// Port returns the UDP port, or the one that is asked for while the socket is not open.
func (t *Transport) Port() int { return t.socket.Port() }

// now is the time that sessions keep.
func (t *Transport) now() time.Duration { return time.Since(t.epoch) }

// session returns the session of an index.
func (t *Transport) session(index uint32) *Session { return (*t.sessions.Load())[index] }

// add gives a session its index.
func (t *Transport) add(s *Session) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return ErrClosed
	}
	sessions := maps.Clone(*t.sessions.Load())
	for s.index == 0 || sessions[s.index] != nil {
		s.index = rand.Uint32() //nolint:gosec // an index is no secret
	}
	sessions[s.index] = s
	t.sessions.Store(&sessions)
	t.owners.Add(1)
	return nil
}

func (t *Transport) remove(s *Session) {
	t.mu.Lock()
	defer t.mu.Unlock()
	sessions := maps.Clone(*t.sessions.Load())
	delete(sessions, s.index)
	t.sessions.Store(&sessions)
}

// Close closes all sessions and the socket, and waits until the last handler
// has been called and every goroutine has ended.
func (t *Transport) Close() error {
	t.mu.Lock()
	t.closed = true
	sessions := *t.sessions.Load()
	t.mu.Unlock()
	for _, s := range sessions {
		s.Close()
	}
	t.owners.Wait()
	var err error
	if t.turnPool != nil {
		err = t.turnPool.Close()
	}
	err = errors.Join(err, t.socket.Close())
	<-t.reader
	return err
}

// AddressesChanged is called when addresses of this machine have come or gone. The
// sessions look for other paths and send their peers the new candidates.
func (t *Transport) AddressesChanged() {
	t.gatherer.Forget()
	if t.turnPool != nil {
		t.turnPool.Suspect()
	}
	for _, s := range *t.sessions.Load() {
		select {
		case s.readdressed <- struct{}{}:
		default: // it has not listed them since the last time
		}
	}
}

// Stats is the transport's part of the status document.
type Stats struct {
	Port     int               `json:"port"`
	Socket   udp.Stats         `json:"socket"`
	Offload  udp.Offloads      `json:"offload"`  // what the socket leaves to the kernel
	Sessions map[string]int    `json:"sessions"` // by state
	Agents   int               `json:"agents"`   // ICE agents at work
	Drops    map[string]uint64 `json:"drops"`    // of datagrams of no session
	Relays   []turn.Status     `json:"relays,omitempty"`
}

// Stats returns a snapshot.
func (t *Transport) Stats() Stats {
	stats := Stats{
		Port:     t.Port(),
		Socket:   t.socket.Stats(),
		Offload:  t.socket.Offloads(),
		Sessions: make(map[string]int),
		Agents:   t.mux.Agents(),
		Drops:    t.drops.Map(),
	}
	for _, s := range *t.sessions.Load() {
		stats.Sessions[s.State().String()]++
	}
	if t.turnPool != nil {
		stats.Relays = t.turnPool.Status()
	}
	return stats
}

// usable returns the candidates of a peer that may be tried.
func (t *Transport) usable(candidates []path.Candidate) []path.Candidate {
	return slices.DeleteFunc(candidates, func(c path.Candidate) bool { return !t.filter.Usable(c.Addr.Addr()) })
}
