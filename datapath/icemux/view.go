package icemux

import (
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/pion/ice/v4"
	"github.com/pion/stun/v4"

	"evio/datapath/drops"
)

// View is the mux as one agent sees it: with the host candidates that its
// session has told the peer, even if interfaces have changed since, and the
// candidates that the peer has told.
type View struct {
	mux       *Mux
	hosts     []netip.AddrPort
	integrity stun.MessageIntegrity // of requests to the agent, which know its password
	turn      Allocation            // nil: the view of the socket

	// Guarded by the mux's mutex.
	peers   []netip.AddrPort            // candidates of the peer, never shut out
	sources map[netip.AddrPort]struct{} // other addresses that requests came from
}

var _ ice.UDPMux = (*View)(nil)

// Allocation is a relayed address of a TURN server, and how to send from it.
type Allocation interface {
	Addr() netip.AddrPort
	Send(to netip.AddrPort, datagram []byte) error
}

// View makes a view of an agent with this password, with the given host candidates and
// candidates of the peer. Requests from the latter always reach the agent, those from other
// addresses as long as there are few, and only if the first of an address knows the
// password.
func (m *Mux) View(hosts, peers []netip.AddrPort, password string) *View {
	return &View{
		mux: m, hosts: hosts, peers: peers, integrity: stun.NewShortTermIntegrity(password),
		sources: make(map[netip.AddrPort]struct{}),
	}
}

// TURNView makes a view whose one host candidate is a relayed address. An agent
// at it may share ufrag and password with one at the socket: to the peer the two
// are one agent with more candidates.
func (m *Mux) TURNView(turn Allocation, peers []netip.AddrPort, password string) *View {
	v := m.View([]netip.AddrPort{turn.Addr()}, peers, password)
	v.turn = turn
	return v
}

// Admit puts newer candidates of the peer in the place of those it has.
func (v *View) Admit(peers []netip.AddrPort) {
	v.mux.mu.Lock()
	defer v.mux.mu.Unlock()
	v.peers = peers
}

// knows tells whether requests from this address may reach the agent, whatever is in
// them: it looks at that itself. The mux's mutex is held.
func (v *View) knows(remote netip.AddrPort) bool {
	_, known := v.sources[remote]
	return known || slices.Contains(v.peers, remote)
}

// admit gives an address its place, or returns why a request from it may not reach the
// agent. It does not hold the mux's mutex while it looks who made the request: a place that
// is for whoever has the session's parameters is not for a stranger to take.
func (v *View) admit(remote netip.AddrPort, request []byte) (drops.Cause, bool) {
	if !v.hasRoom() {
		return drops.STUNSource, false
	}
	var m stun.Message
	if stun.Decode(request, &m) != nil || v.integrity.Check(&m) != nil {
		return drops.STUNIntegrity, false
	}
	v.mux.mu.Lock()
	defer v.mux.mu.Unlock()
	if len(v.sources) >= maxSources && !v.knows(remote) {
		return drops.STUNSource, false
	}
	v.sources[remote] = struct{}{}
	return 0, true
}

func (v *View) hasRoom() bool {
	v.mux.mu.Lock()
	defer v.mux.mu.Unlock()
	return len(v.sources) < maxSources
}

func (v *View) place(local netip.AddrPort) agentAddr {
	if v.turn != nil {
		return atAllocation(local)
	}
	return atSocket(local.Addr())
}

func (v *View) sender(local netip.Addr) func(to netip.AddrPort, datagram []byte) error {
	if v.turn != nil {
		return v.turn.Send
	}
	source := v.mux.socket.Source(local)
	return func(to netip.AddrPort, datagram []byte) error { return v.mux.socket.Send(source, to, datagram) }
}

// GetConn implements ice.UDPMux.
func (v *View) GetConn(ufrag string, addr net.Addr) (net.PacketConn, error) {
	udpAddr, ok := addr.(*net.UDPAddr)
	if !ok {
		return nil, fmt.Errorf("open ICE candidate %v: not a UDP address", addr)
	}
	local := udpAddr.AddrPort()
	return v.mux.open(ufrag, netip.AddrPortFrom(local.Addr().Unmap(), local.Port()), v)
}

// RemoveConnByUfrag implements ice.UDPMux. Connections of another view stay.
func (v *View) RemoveConnByUfrag(ufrag string) {
	v.mux.remove(ufrag, func(c *conn) bool { return c.view == v })
}

// GetListenAddresses implements ice.UDPMux.
func (v *View) GetListenAddresses() []net.Addr {
	addrs := make([]net.Addr, len(v.hosts))
	for i, h := range v.hosts {
		addrs[i] = net.UDPAddrFromAddrPort(h)
	}
	return addrs
}

// Close implements ice.UDPMux. The socket is not the view's, and agents remove
// their own connections.
func (v *View) Close() error { return nil }
