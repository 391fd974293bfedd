package icemux

import (
	"net"
	"net/netip"
	"testing"

	"evio/datapath/drops"
	"evio/datapath/udp"
)

// allocation keeps where it was asked to send.
type allocation struct {
	addr netip.AddrPort
	sent []netip.AddrPort
}

func (a *allocation) Addr() netip.AddrPort { return a.addr }

func (a *allocation) Send(to netip.AddrPort, _ []byte) error {
	a.sent = append(a.sent, to)
	return nil
}

// TestRelayedAgentSharesItsUfrag: what arrives at the relayed address and what
// arrives at a host address of the same IP stay apart, and the end of one agent is
// not the end of the other.
func TestRelayedAgentSharesItsUfrag(t *testing.T) {
	m, socket, counters := newMux(t)
	direct := getConn(t, m, "red", hostA)
	turn := &allocation{addr: netip.AddrPortFrom(hostA.Addr(), 50000)} // the server is on this machine
	view := m.TURNView(turn, nil, "password")
	relayed, err := view.GetConn("red", view.GetListenAddresses()[0])
	if err != nil {
		t.Fatal(err)
	}
	request := check(t, "red:x").Raw
	m.Receive(udp.Datagram{Local: hostA.Addr(), Remote: hostB, Data: request})
	m.ReceiveTURN(turn.addr, hostB, request)
	m.ReceiveTURN(turn.addr, hostB, request)
	if got, want := [2]int{waiting(direct), waiting(relayed)}, [2]int{1, 2}; got != want {
		t.Errorf("arrived directly and relayed: %v, want %v", got, want)
	}
	if _, err := relayed.WriteTo(request, net.UDPAddrFromAddrPort(hostB)); err != nil {
		t.Fatal(err)
	}
	if len(turn.sent) != 1 || len(socket.sent) != 0 {
		t.Errorf("%d sent by the TURN server and %d by the socket, want one and none", len(turn.sent), len(socket.sent))
	}
	view.RemoveConnByUfrag("red")
	m.ReceiveTURN(turn.addr, hostB, request)
	if got := counters.Get(drops.STUNLocal); got != 1 {
		t.Errorf("%d dropped for their local address, want 1", got)
	}
	m.Receive(udp.Datagram{Local: hostA.Addr(), Remote: hostB, Data: request})
	if got := waiting(direct); got != 1 {
		t.Errorf("%d arrived at the agent that is left, want 1", got)
	}
}

func TestLaterCandidatesOfThePeerAreHeard(t *testing.T) {
	m, _, _ := newMux(t)
	c := getConn(t, m, "red", hostA)
	request := check(t, "red:x").Raw
	for i := range maxSources {
		m.Receive(udp.Datagram{Local: hostA.Addr(), Remote: netip.AddrPortFrom(hostB.Addr(), uint16(1024+i)), Data: request})
	}
	waiting(c)
	later := netip.MustParseAddrPort("203.0.113.5:61000")
	c.(*conn).view.Admit([]netip.AddrPort{later})
	m.Receive(udp.Datagram{Local: hostA.Addr(), Remote: later, Data: request})
	if got := waiting(c); got != 1 {
		t.Errorf("%d arrived from the later candidate, want 1", got)
	}
}
