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
	sockets map[netip.AddrPort]place
	nats    map[netip.AddrPort]netip.AddrPort // what is shown of an address
	delay   time.Duration
	// pass decides over each datagram; it may change a copy of it, drop it or
	// repeat it. nil passes all.
	pass func(from, to netip.AddrPort, datagram []byte) [][]byte
	log  [][]byte // every datagram sent

	underWay []func() // deliveries, in the order of sending
}

// place is where an address leads: to a socket and its own address there.
type place struct {
	socket *memorySocket
	local  netip.AddrPort
}

func newNetwork() *network {
	return &network{
		sockets: make(map[netip.AddrPort]place),
		nats:    make(map[netip.AddrPort]netip.AddrPort),
		delay:   10 * time.Millisecond,
	}
}

// translate puts an address behind a NAT, or gives it another mapping there.
func (n *network) translate(inner, outer netip.AddrPort) {
	n.mu.Lock()
	defer n.mu.Unlock()
	to := n.sockets[inner]
	for addr, p := range n.sockets {
		if p == to && addr != inner {
			delete(n.sockets, addr)
		}
	}
	n.nats[inner], n.sockets[outer] = outer, to
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
	if outer, ok := n.nats[from]; ok {
		from = outer
	}
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
	p, ok := n.sockets[to]
	if !ok {
		return
	}
	n.underWay = append(n.underWay, func() {
		select {
		case p.socket.queue <- udp.Datagram{Local: p.local.Addr(), Remote: from, Data: datagram}:
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
	home    netip.AddrPort   // its first address
	addrs   []netip.AddrPort // guarded by the network's mu; all of one port
	queue   chan udp.Datagram
	closed  chan struct{}
	once    sync.Once
}

func (n *network) listen(addrs ...netip.AddrPort) *memorySocket {
	s := &memorySocket{network: n, home: addrs[0], queue: make(chan udp.Datagram, 1024), closed: make(chan struct{})}
	s.renumber(addrs...)
	return s
}

// renumber gives the socket other addresses.
func (s *memorySocket) renumber(addrs ...netip.AddrPort) {
	n := s.network
	n.mu.Lock()
	defer n.mu.Unlock()
	for addr, p := range n.sockets {
		if p.socket == s {
			delete(n.sockets, addr)
		}
	}
	s.addrs = addrs
	for _, addr := range addrs {
		n.sockets[addr] = place{s, addr}
	}
}

// hosts returns the addresses as they are now.
func (s *memorySocket) hosts() (hosts []netip.Addr) {
	s.network.mu.Lock()
	defer s.network.mu.Unlock()
	for _, addr := range s.addrs {
		hosts = append(hosts, addr.Addr())
	}
	return hosts
}

func (s *memorySocket) Source(local netip.Addr) udp.Source { return udp.Source{Addr: local} }

func (s *memorySocket) Send(source udp.Source, remote netip.AddrPort, datagram []byte) error {
	if !slices.Contains(s.hosts(), source.Addr) {
		return errors.New("no such local address")
	}
	s.network.send(netip.AddrPortFrom(source.Addr, uint16(s.Port())), remote, datagram)
	return nil
}

func (s *memorySocket) SendRuns(source udp.Source, remote netip.AddrPort, runs []udp.Run) (int, error) {
	return eachDatagram(runs, func(d []byte) error { return s.Send(source, remote, d) })
}

func (s *memorySocket) Run(deliver func([]udp.Datagram), _ func(error)) error {
	for {
		select {
		case d := <-s.queue:
			deliver([]udp.Datagram{d})
		case <-s.closed:
			return udp.ErrClosed
		}
	}
}

func (s *memorySocket) Port() int        { return int(s.home.Port()) }
func (s *memorySocket) Stats() udp.Stats { return udp.Stats{} }

func (s *memorySocket) Offloads() udp.Offloads { return udp.Offloads{} }

func (s *memorySocket) Close() error {
	s.once.Do(func() { close(s.closed) })
	return nil
}

var _ socket = (*memorySocket)(nil)

// join adds a node with addresses of port 4000.
func (n *network) join(t testing.TB, addrs ...string) *end {
	t.Helper()
	socket, key := n.listen(parse(addrs)...), newKey(t)
	transport, err := newTransport(Config{Key: key}, socket, func(icemux.HostFilter) ([]netip.Addr, error) {
		return socket.hosts(), nil
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return &end{transport: transport, key: key}
}

func parse(addrs []string) (parsed []netip.AddrPort) {
	for _, addr := range addrs {
		parsed = append(parsed, netip.MustParseAddrPort(addr))
	}
	return parsed
}

func (e *end) socket() *memorySocket { return e.transport.socket.(*memorySocket) }

func (e *end) addr() netip.AddrPort { return e.socket().home }

// inBubble runs a test on a fresh network with two nodes, in virtual time.
func inBubble(t *testing.T, test func(t *testing.T, n *network, a, b *end)) {
	t.Helper()
	bubble(t, []string{"192.0.2.1:4000"}, []string{"192.0.2.2:4000"}, test)
}

// bubble does the same with nodes of given addresses.
func bubble(t *testing.T, atA, atB []string, test func(t *testing.T, n *network, a, b *end)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		a, b := n.join(t, atA...), n.join(t, atB...)
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
	connectEnds(t, a, b)
	await(t, a.established, "Established")
	await(t, b.established, "Established")
}
