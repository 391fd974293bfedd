package icemux

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/pion/ice/v4"
)

// View is the mux as one agent sees it: with the host candidates that its
// session has told the peer, even if interfaces have changed since, and the
// candidates that the peer has told.
type View struct {
	mux   *Mux
	hosts []netip.AddrPort
	peers []netip.AddrPort
}

var _ ice.UDPMux = (*View)(nil)

// View makes a view with the given host candidates and candidates of the peer.
// Requests from the latter always reach the agent, those from other addresses
// as long as there are few.
func (m *Mux) View(hosts, peers []netip.AddrPort) *View {
	return &View{mux: m, hosts: hosts, peers: peers}
}

// GetConn implements ice.UDPMux.
func (v *View) GetConn(ufrag string, addr net.Addr) (net.PacketConn, error) {
	udpAddr, ok := addr.(*net.UDPAddr)
	if !ok {
		return nil, fmt.Errorf("open ICE candidate %v: not a UDP address", addr)
	}
	local := udpAddr.AddrPort()
	return v.mux.open(ufrag, netip.AddrPortFrom(local.Addr().Unmap(), local.Port()), v.peers)
}

// RemoveConnByUfrag implements ice.UDPMux.
func (v *View) RemoveConnByUfrag(ufrag string) { v.mux.remove(ufrag) }

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
