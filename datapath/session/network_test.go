package session

import (
	"bytes"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"evio/datapath/icemux"
	"evio/datapath/udp"
)

// network joins transports in memory, so that synctest rules their time.
type network struct {
	mu      sync.Mutex
	sockets map[netip.AddrPort]*memorySocket
	delay   time.Duration
	// pass decides over each datagram; it may change a copy of it, drop it or
	// repeat it. nil passes all.
	pass func(from, to netip.AddrPort, datagram []byte) [][]byte
	log  [][]byte // every datagram sent

	underWay []func() // deliveries, in the order of sending
}

func newNetwork() *network {
	return &network{sockets: make(map[netip.AddrPort]*memorySocket), delay: 10 * time.Millisecond}
}

func (n *network) impair(pass func(from, to netip.AddrPort, datagram []byte) [][]byte) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.pass = pass
}

// sent returns copies of all datagrams so far.
func (n *network) sent() [][]byte {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.log)
}

func (n *network) send(from, to netip.AddrPort, datagram []byte) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.log = append(n.log, bytes.Clone(datagram))
	copies := [][]byte{bytes.Clone(datagram)}
	if n.pass != nil {
		copies = n.pass(from, to, copies[0])
	}
	for _, c := range copies {
		n.injectLocked(from, to, c)
	}
}

// inject delivers a datagram as if from sent it.
func (n *network) inject(from, to netip.AddrPort, datagram []byte) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.injectLocked(from, to, bytes.Clone(datagram))
}

func (n *network) injectLocked(from, to netip.AddrPort, datagram []byte) {
	s := n.sockets[to]
	if s == nil {
		return
	}
	n.underWay = append(n.underWay, func() {
		select {
		case s.queue <- udp.Datagram{Local: to.Addr(), Remote: from, Data: datagram}:
		default:
		}
	})
	time.AfterFunc(n.delay, func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.underWay[0]() // whichever timer fires first, the oldest arrives first
		n.underWay = n.underWay[1:]
	})
}

// advance lets virtual time pass.
func advance(d time.Duration) { <-time.After(d) }

// memorySocket implements socket.
type memorySocket struct {
	network *network
	addr    netip.AddrPort
	queue   chan udp.Datagram
	closed  chan struct{}
	once    sync.Once
}

func (n *network) listen(addr netip.AddrPort) *memorySocket {
	s := &memorySocket{network: n, addr: addr, queue: make(chan udp.Datagram, 1024), closed: make(chan struct{})}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.sockets[addr] = s
	return s
}

func (s *memorySocket) Source(local netip.Addr) udp.Source { return udp.Source{Addr: local} }

func (s *memorySocket) Send(source udp.Source, remote netip.AddrPort, datagram []byte) error {
	if source.Addr != s.addr.Addr() {
		return errors.New("no such local address")
	}
	s.network.send(s.addr, remote, datagram)
	return nil
}

func (s *memorySocket) Run(deliver func([]udp.Datagram)) error {
	for {
		select {
		case d := <-s.queue:
			deliver([]udp.Datagram{d})
		case <-s.closed:
			return udp.ErrClosed
		}
	}
}

func (s *memorySocket) Port() int        { return int(s.addr.Port()) }
func (s *memorySocket) Stats() udp.Stats { return udp.Stats{} }

func (s *memorySocket) Close() error {
	s.once.Do(func() { close(s.closed) })
	return nil
}

var _ socket = (*memorySocket)(nil)

// join adds a node with one address.
func (n *network) join(t testing.TB, addr string) *end {
	t.Helper()
	at := netip.MustParseAddrPort(addr)
	key := newKey(t)
	transport, err := newTransport(Config{Key: key}, n.listen(at), func(icemux.HostFilter) ([]netip.Addr, error) {
		return []netip.Addr{at.Addr()}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return &end{transport: transport, key: key}
}

func (e *end) addr() netip.AddrPort { return e.transport.socket.(*memorySocket).addr }

// inBubble runs a test on a fresh network with two nodes, in virtual time.
func inBubble(t *testing.T, test func(t *testing.T, n *network, a, b *end)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		a, b := n.join(t, "192.0.2.1:4000"), n.join(t, "192.0.2.2:4000")
		test(t, n, a, b)
		for _, e := range []*end{a, b} {
			if err := e.transport.Close(); err != nil {
				t.Error(err)
			}
			if e.recorder != nil {
				e.check(t)
			}
		}
		n.impair(nil)
		advance(time.Minute) // datagrams under way arrive
	})
}

// establish opens and connects a pair and waits until both are established.
func establish(t *testing.T, a, b *end) {
	t.Helper()
	a.open(t, b, nil)
	b.open(t, a, nil)
	connect(t, a, b)
	await(t, a.established, "Established")
	await(t, b.established, "Established")
}
