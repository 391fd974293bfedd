package session

import (
	"context"
	"net/netip"

	"github.com/pion/webrtc/v4"

	"evio/datapath/session/path"
	"evio/datapath/turn"
	"evio/datapath/udp"
)

// outlet is the own end of a route: the socket with a source address, or an
// allocation.
type outlet interface {
	Addr() netip.AddrPort
	Send(to netip.AddrPort, datagram []byte) error
}

// boundPath is where records go, in one slot. A path is replaced, never changed.
type boundPath struct {
	path.Route
	out        outlet
	slot       int
	remoteType webrtc.ICECandidateType // what the peer calls its end
}

// isRelayed tells whether a relay of either end carries the path.
func (p *boundPath) isRelayed() bool { return p.TURN || p.remoteType == webrtc.ICECandidateTypeRelay }

// kind names the path in the status document.
func (p *boundPath) kind() string {
	if p.isRelayed() {
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

// Send implements outlet.
func (h *hostOutlet) Send(to netip.AddrPort, datagram []byte) error {
	return h.socket.Send(h.source, to, datagram)
}

// host returns the outlet of an address of this machine.
func (t *Transport) host(addr netip.AddrPort) outlet {
	return &hostOutlet{socket: t.socket, source: t.socket.Source(addr.Addr()), addr: addr}
}

// relay is what sessions need of a *turn.Allocation.
type relay interface {
	outlet
	Server() string
	Transport() string
	Permit(ctx context.Context, peers ...netip.Addr) error
	Done() <-chan struct{}
	Err() error
	Release()
}

// relays is what a transport needs of a *turn.Pool.
type relays interface {
	Acquire(ctx context.Context) (relay, error)
	Suspect()
	Status() []turn.Status
	Close() error
}

// turnPool makes relays of a pool.
type turnPool struct{ *turn.Pool }

var _ relays = turnPool{}

// Acquire implements relays.
func (p turnPool) Acquire(ctx context.Context) (relay, error) {
	a, err := p.Pool.Acquire(ctx)
	if err != nil {
		return nil, err // not a nil allocation in an interface
	}
	return a, nil
}
