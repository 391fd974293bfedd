package icemux

import (
	"net"
	"net/netip"
	"time"

	"github.com/pion/ice/v4"

	"evio/datapath/drops"
	"evio/datapath/udp"
)

// connInbox is the number of STUN messages that wait for an agent: two rounds
// of checks of the largest number of pairs that a burst brings.
const connInbox = 64

// conn is the share of one host candidate in the socket, or of the relayed one in
// its allocation.
type conn struct {
	view  *View
	ufrag string
	local netip.AddrPort
	send  func(to netip.AddrPort, datagram []byte) error
	inbox *udp.Inbox
}

var (
	_ net.PacketConn           = (*conn)(nil)
	_ ice.AddrPortReaderWriter = (*conn)(nil)
)

func newConn(v *View, ufrag string, local netip.AddrPort) *conn {
	return &conn{view: v, ufrag: ufrag, local: local, send: v.sender(local.Addr()), inbox: udp.NewInbox(connInbox)}
}

func (c *conn) receive(from netip.AddrPort, datagram []byte, _ message) {
	if !c.inbox.Put(from, datagram) {
		c.view.mux.drops.Add(drops.STUNQueue)
	}
}

// ReadFromAddrPort implements ice.AddrPortReaderWriter.
func (c *conn) ReadFromAddrPort(b []byte) (int, netip.AddrPort, error) {
	p, err := c.inbox.Get()
	if err != nil {
		return 0, netip.AddrPort{}, err
	}
	return copy(b, p.Data), p.Remote, nil
}

// WriteToAddrPort implements ice.AddrPortReaderWriter. A request is noted, so
// that its response reaches the sender.
func (c *conn) WriteToAddrPort(b []byte, to netip.AddrPort) (int, error) {
	if m, ok := parseMessage(b); ok && m.typ == typeBindingRequest {
		c.view.mux.remember(c.ufrag, m.transaction, c)
	}
	if err := c.send(to, b); err != nil {
		return 0, err
	}
	return len(b), nil
}

// ReadFrom implements net.PacketConn.
func (c *conn) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := c.ReadFromAddrPort(b)
	if err != nil {
		return 0, nil, err
	}
	return n, net.UDPAddrFromAddrPort(from), nil
}

// WriteTo implements net.PacketConn.
func (c *conn) WriteTo(b []byte, to net.Addr) (int, error) {
	addr, ok := to.(*net.UDPAddr)
	if !ok {
		return 0, &net.OpError{Op: "write", Net: "udp", Addr: to, Err: net.InvalidAddrError("not a UDP address")}
	}
	return c.WriteToAddrPort(b, addr.AddrPort())
}

// LocalAddr implements net.PacketConn.
func (c *conn) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(c.local) }

// SetDeadline implements net.PacketConn. Writing never waits for a peer, so
// only reading has a deadline.
func (c *conn) SetDeadline(t time.Time) error { return c.SetReadDeadline(t) }

// SetReadDeadline implements net.PacketConn.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.inbox.SetDeadline(t)
	return nil
}

// SetWriteDeadline implements net.PacketConn.
func (c *conn) SetWriteDeadline(time.Time) error { return nil }

// Close implements net.PacketConn.
func (c *conn) Close() error {
	c.inbox.Close()
	c.view.mux.remove(c.ufrag, func(other *conn) bool { return other == c })
	return nil
}
