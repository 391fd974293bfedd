package session

import (
	"net/netip"

	"github.com/pion/webrtc/v4"

	"evio/datapath/session/path"
	"evio/datapath/udp"
)

// outlet is the own end of a route: the socket with a source address, or an allocation of a
// TURN server.
type outlet interface {
	Addr() netip.AddrPort
	// SendRuns sends datagrams and returns how many were sent, which is all unless there is
	// an error.
	SendRuns(to netip.AddrPort, runs []udp.Run) (int, error)
}

// boundPath is where records go: a route, what sends on it, and the slot of its records. It
// is replaced, never changed.
type boundPath struct {
	path.Route
	out        outlet
	slot       int
	remoteType webrtc.ICECandidateType // what the peer calls its end
}

// usesTURN reports whether a TURN server of either end carries the path.
func (p *boundPath) usesTURN() bool { return p.TURN || p.remoteType == webrtc.ICECandidateTypeRelay }

// kind names the path in the status document.
func (p *boundPath) kind() string {
	if p.usesTURN() {
		return "relay"
	}
	return "direct"
}

// hostOutlet sends from one address of this machine.
type hostOutlet struct {
	socket socket
	source udp.Source
	addr   netip.AddrPort
}

var _ outlet = (*hostOutlet)(nil)

// Addr implements outlet.
func (h *hostOutlet) Addr() netip.AddrPort { return h.addr }

// SendRuns implements outlet.
func (h *hostOutlet) SendRuns(to netip.AddrPort, runs []udp.Run) (int, error) {
	return h.socket.SendRuns(h.source, to, runs)
}

// host returns the outlet of an address of this machine.
func (t *Transport) host(addr netip.AddrPort) outlet {
	return &hostOutlet{socket: t.socket, source: t.socket.Source(addr.Addr()), addr: addr}
}
