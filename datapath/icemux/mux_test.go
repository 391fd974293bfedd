package icemux

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/pion/stun/v4"

	"evio/datapath/drops"
	"evio/datapath/udp"
)

// memory is a socket that keeps what is sent, or hands it on.
type memory struct {
	mu   sync.Mutex
	sent []outgoing
	pass func(outgoing)
}

type outgoing struct {
	from netip.Addr
	to   netip.AddrPort
	data []byte
}

func (m *memory) Source(local netip.Addr) udp.Source { return udp.Source{Addr: local} }

func (m *memory) Send(source udp.Source, to netip.AddrPort, b []byte) error {
	o := outgoing{source.Addr, to, append([]byte(nil), b...)}
	m.mu.Lock()
	m.sent = append(m.sent, o)
	pass := m.pass
	m.mu.Unlock()
	if pass != nil {
		pass(o)
	}
	return nil
}

var (
	hostA = netip.MustParseAddrPort("192.0.2.1:4000")
	hostB = netip.MustParseAddrPort("192.0.2.2:4000")
)

func newMux(t testing.TB) (*Mux, *memory, *drops.Counters) {
	t.Helper()
	var counters drops.Counters
	socket := &memory{}
	return New(socket, &counters), socket, &counters
}

func getConn(t testing.TB, m *Mux, ufrag string, host netip.AddrPort, peers ...netip.AddrPort) net.PacketConn {
	t.Helper()
	c, err := m.View([]netip.AddrPort{host}, peers, "password").GetConn(ufrag, net.UDPAddrFromAddrPort(host))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// past is a deadline gone by.
var past = time.Unix(1, 0)

// waiting takes what lies in a connection's inbox and returns how much it was.
func waiting(c net.PacketConn) (n int) {
	inbox := c.(*conn).inbox
	for inbox.Len() > 0 {
		if _, err := inbox.Get(); err != nil {
			break
		}
		n++
	}
	return n
}

func TestRequestsGoByUfragAndLocalAddress(t *testing.T) {
	m, _, counters := newMux(t)
	red, blue := getConn(t, m, "red", hostA), getConn(t, m, "blue", hostA)
	blueB := getConn(t, m, "blue", hostB)
	receive := func(local netip.Addr, username string) {
		m.Receive(udp.Datagram{Local: local, Remote: hostB, Data: check(t, username).Raw})
	}
	receive(hostA.Addr(), "red:x")
	receive(hostA.Addr(), "blue:x")
	receive(hostA.Addr(), "blue:y")
	receive(hostB.Addr(), "blue:x")
	receive(hostA.Addr(), "green:x")
	receive(netip.MustParseAddr("192.0.2.9"), "red:x")
	got := [3]int{waiting(red), waiting(blue), waiting(blueB)}
	if want := [3]int{1, 2, 1}; got != want {
		t.Errorf("arrived at red, blue, blue's second host: %v, want %v", got, want)
	}
	if counters.Get(drops.STUNUsername) != 1 || counters.Get(drops.STUNLocal) != 1 {
		t.Errorf("drops = %v, want one of stun_username and stun_local", counters.Map())
	}
}

func TestResponsesGoByTransaction(t *testing.T) {
	m, socket, counters := newMux(t)
	red, blue := getConn(t, m, "red", hostA), getConn(t, m, "blue", hostA)
	to := net.UDPAddrFromAddrPort(hostB)
	for _, c := range []net.PacketConn{red, blue, blue} {
		if _, err := c.WriteTo(check(t, "peer:own").Raw, to); err != nil {
			t.Fatal(err)
		}
	}
	for _, o := range socket.sent {
		request := &stun.Message{Raw: o.data}
		if err := request.Decode(); err != nil {
			t.Fatal(err)
		}
		answer := build(t, request, stun.BindingSuccess)
		// From wherever it comes: the agent judges that, not the mux.
		m.Receive(udp.Datagram{Local: hostA.Addr(), Remote: netip.MustParseAddrPort("198.51.100.1:9"), Data: answer.Raw})
	}
	m.Receive(udp.Datagram{Local: hostA.Addr(), Remote: hostB, Data: build(t, stun.BindingSuccess, stun.TransactionID).Raw})
	if got, want := [2]int{waiting(red), waiting(blue)}, [2]int{1, 2}; got != want {
		t.Errorf("arrived at red and blue: %v, want %v", got, want)
	}
	if counters.Get(drops.STUNTransaction) != 1 {
		t.Errorf("drops = %v, want one stun_transaction", counters.Map())
	}
}

func TestWhatICEDoesNotUseIsDropped(t *testing.T) {
	m, _, counters := newMux(t)
	getConn(t, m, "red", hostA)
	for _, typ := range []stun.MessageType{
		stun.NewType(stun.MethodBinding, stun.ClassIndication), stun.NewType(stun.MethodAllocate, stun.ClassRequest),
	} {
		m.Receive(udp.Datagram{Local: hostA.Addr(), Remote: hostB, Data: build(t, typ, stun.TransactionID, stun.NewUsername("red:x")).Raw})
	}
	m.Receive(udp.Datagram{Local: hostA.Addr(), Remote: hostB, Data: []byte{0, 1, 2}})
	if counters.Get(drops.STUNUnsupported) != 2 || counters.Get(drops.STUNMalformed) != 1 {
		t.Errorf("drops = %v, want two stun_unsupported and one stun_malformed", counters.Map())
	}
}

func TestTablesAreBounded(t *testing.T) {
	m, _, counters := newMux(t)
	red := getConn(t, m, "red", hostA)
	to := net.UDPAddrFromAddrPort(hostB)
	for range 3 * maxRemembered {
		if _, err := red.WriteTo(check(t, "peer:own").Raw, to); err != nil {
			t.Fatal(err)
		}
	}
	if got := len(m.requests); got != maxRemembered {
		t.Errorf("%d requests are remembered, want %d", got, maxRemembered)
	}
	for range connInbox + 3 {
		m.Receive(udp.Datagram{Local: hostA.Addr(), Remote: hostB, Data: check(t, "red:x").Raw})
	}
	if got := counters.Get(drops.STUNQueue); got != 3 {
		t.Errorf("%d were dropped for a full queue, want 3", got)
	}
	view := m.View([]netip.AddrPort{hostA}, nil, "password")
	var err error
	for i := range maxAgents {
		if _, err = view.GetConn(fmt.Sprint("agent", i), net.UDPAddrFromAddrPort(hostA)); err != nil {
			break
		}
	}
	if !errors.Is(err, ErrFull) {
		t.Errorf("agent above the bound: %v, want %v", err, ErrFull)
	}
	for i := range maxAgents {
		view.RemoveConnByUfrag(fmt.Sprint("agent", i))
	}
	red.(*conn).view.RemoveConnByUfrag("red")
	if m.Agents() != 0 || len(m.requests) != 0 {
		t.Errorf("%d agents and %d requests are left, want none", m.Agents(), len(m.requests))
	}
}

func TestRequestsFromManyAddressesAreBounded(t *testing.T) {
	m, _, counters := newMux(t)
	told := netip.MustParseAddrPort("203.0.113.5:61000")
	red := getConn(t, m, "red", hostA, told)
	blue := getConn(t, m, "blue", hostA)
	receive := func(username string, from netip.AddrPort) {
		m.Receive(udp.Datagram{Local: hostA.Addr(), Remote: from, Data: check(t, username).Raw})
	}
	stranger := func(i int) netip.AddrPort { return netip.AddrPortFrom(hostB.Addr(), uint16(1024+i)) }
	const excess = 100
	for i := range maxSources + excess {
		receive("red:x", stranger(i))
	}
	if got := waiting(red); got != maxSources {
		t.Errorf("%d requests arrived, want %d", got, maxSources)
	}
	if got := counters.Get(drops.STUNSource); got != excess {
		t.Errorf("%d were dropped for their source, want %d", got, excess)
	}
	receive("red:x", told)
	receive("red:x", stranger(0))
	receive("red:x", stranger(maxSources))
	receive("blue:x", stranger(maxSources))
	if got, want := [2]int{waiting(red), waiting(blue)}, [2]int{2, 1}; got != want {
		t.Errorf("arrived at red and blue: %v, want %v: the peer's candidate, a known address, another agent", got, want)
	}
	if err := red.Close(); err != nil {
		t.Fatal(err)
	}
	again := getConn(t, m, "red", hostA)
	receive("red:x", stranger(maxSources))
	if got := waiting(again); got != 1 {
		t.Errorf("%d arrived at the next agent of that name, want 1", got)
	}
}

// TestPlacesAreForWhoKnowsThePassword: requests that are not made with the agent's password
// take no place, from however many addresses they come, and reach the agent only from the
// peer's own candidates, where it looks at them itself.
func TestPlacesAreForWhoKnowsThePassword(t *testing.T) {
	m, _, counters := newMux(t)
	told := netip.MustParseAddrPort("203.0.113.5:61000")
	red := getConn(t, m, "red", hostA, told)
	receive := func(from netip.AddrPort, signed ...stun.Setter) {
		setters := append([]stun.Setter{stun.BindingRequest, stun.TransactionID, stun.NewUsername("red:x")}, signed...)
		m.Receive(udp.Datagram{Local: hostA.Addr(), Remote: from, Data: build(t, setters...).Raw})
	}
	stranger := func(i int) netip.AddrPort { return netip.AddrPortFrom(hostB.Addr(), uint16(1024+i)) }
	for i := range maxSources {
		receive(stranger(2 * i))
		receive(stranger(2*i+1), stun.NewShortTermIntegrity("another password"), stun.Fingerprint)
	}
	if got := counters.Get(drops.STUNIntegrity); got != 2*maxSources || waiting(red) != 0 {
		t.Errorf("%d were dropped for their integrity, want %d", got, 2*maxSources)
	}
	receive(told, stun.NewShortTermIntegrity("another password"), stun.Fingerprint)
	for i := range maxSources {
		receive(stranger(1000+i), stun.NewShortTermIntegrity("password"), stun.Fingerprint)
	}
	if got := waiting(red); got != 1+maxSources || counters.Get(drops.STUNSource) != 0 {
		t.Errorf("%d arrived, want %d: from the peer's candidate, and from as many addresses as there are places", got, 1+maxSources)
	}
}

func TestRemovedAgentIsWokenAndForgotten(t *testing.T) {
	m, _, _ := newMux(t)
	c := getConn(t, m, "red", hostA)
	done := make(chan error, 1)
	go func() {
		_, _, err := c.ReadFrom(make([]byte, 100))
		done <- err
	}()
	c.(*conn).view.RemoveConnByUfrag("red")
	if err := <-done; !errors.Is(err, net.ErrClosed) {
		t.Errorf("read of a removed connection: %v, want %v", err, net.ErrClosed)
	}
	again := getConn(t, m, "red", hostA)
	if err := c.Close(); err != nil { // late close of the old one
		t.Fatal(err)
	}
	m.Receive(udp.Datagram{Local: hostA.Addr(), Remote: hostB, Data: check(t, "red:x").Raw})
	if got := waiting(again); got != 1 {
		t.Errorf("%d arrived at the new connection, want 1", got)
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
	if m.Agents() != 0 {
		t.Errorf("%d agents are left after the last connection, want none", m.Agents())
	}
}

func TestConnIsAPacketConn(t *testing.T) {
	m, socket, _ := newMux(t)
	view := m.View([]netip.AddrPort{hostA, hostB}, nil, "password")
	if got := view.GetListenAddresses(); len(got) != 2 || got[0].String() != hostA.String() {
		t.Errorf("listen addresses = %v", got)
	}
	c := getConn(t, m, "red", hostA)
	if c.LocalAddr().String() != hostA.String() {
		t.Errorf("local address = %v, want %v", c.LocalAddr(), hostA)
	}
	if _, err := c.WriteTo([]byte{1}, &net.TCPAddr{}); err == nil {
		t.Error("a TCP address was written to")
	}
	if _, err := view.GetConn("red", &net.TCPAddr{}); err == nil {
		t.Error("a TCP address has a connection")
	}
	if _, err := c.WriteTo([]byte{1}, net.UDPAddrFromAddrPort(hostB)); err != nil {
		t.Error(err)
	}
	if len(socket.sent) != 1 || socket.sent[0].from != hostA.Addr() {
		t.Errorf("sent %v, want one from %v", socket.sent, hostA.Addr())
	}
	m.Receive(udp.Datagram{Local: hostA.Addr(), Remote: hostB, Data: check(t, "red:x").Raw})
	_, from, err := c.ReadFrom(make([]byte, 1500))
	if err != nil || from.String() != hostB.String() {
		t.Errorf("read from %v, %v, want %v", from, err, hostB)
	}
	if err := errors.Join(c.SetDeadline(past), c.SetWriteDeadline(past)); err != nil {
		t.Error(err)
	}
	if _, _, err := c.ReadFrom(nil); err == nil {
		t.Error("read after its deadline succeeded")
	}
	if err := view.Close(); err != nil {
		t.Error(err)
	}
}
