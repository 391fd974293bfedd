package icemux

import (
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/pion/ice/v4"
)

// View is the mux as one agent sees it: with the host candidates that its
// session has told the peer, even if interfaces have changed since, and the
// candidates that the peer has told.
type View struct {
	mux   *Mux
	hosts []netip.AddrPort
	relay Relay // nil: the view of the socket

	// Guarded by the mux's mutex.
	peers   []netip.AddrPort            // candidates of the peer, never shut out
	sources map[netip.AddrPort]struct{} // other addresses that requests came from
}

var _ ice.UDPMux = (*View)(nil)

// Relay is a relayed address and how to send from it.
type Relay interface {
	Addr() netip.AddrPort
	Send(to netip.AddrPort, datagram []byte) error
}

// View makes a view with the given host candidates and candidates of the peer.
// Requests from the latter always reach the agent, those from other addresses
// as long as there are few.
func (m *Mux) View(hosts, peers []netip.AddrPort) *View {
	return &View{mux: m, hosts: hosts, peers: peers, sources: make(map[netip.AddrPort]struct{})}
}

// RelayView makes a view whose one host candidate is a relayed address. An agent
// at it may share ufrag and password with one at the socket: to the peer the two
// are one agent with more candidates.
func (m *Mux) RelayView(relay Relay, peers []netip.AddrPort) *View {
	v := m.View([]netip.AddrPort{relay.Addr()}, peers)
	v.relay = relay
	return v
}

// Admit puts newer candidates of the peer in the place of those it has.
func (v *View) Admit(peers []netip.AddrPort) {
	v.mux.mu.Lock()
	defer v.mux.mu.Unlock()
	v.peers = peers
}

// admits tells whether a request from this address may reach the agent, and
// gives a new address its place.
func (v *View) admits(remote netip.AddrPort) bool {
	if _, known := v.sources[remote]; known || slices.Contains(v.peers, remote) {
		return true
	}
	if len(v.sources) == maxSources {
		return false
	}
	v.sources[remote] = struct{}{}
	return true
}

func (v *View) place(local netip.AddrPort) place {
	if v.relay != nil {
		return atRelay(local)
	}
	return atSocket(local.Addr())
}

func (v *View) sender(local netip.Addr) func(to netip.AddrPort, datagram []byte) error {
	if v.relay != nil {
		return v.relay.Send
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
