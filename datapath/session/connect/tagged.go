package connect

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"net/netip"

	"evio/datapath/udp"
)

// A handshake datagram is {192, session index of the receiver (4), tag (8),
// DTLS records}. The tag is keyed by the binding, which only the two ends know, and
// whoever carried their parameters. So datagrams of strangers, and those that an earlier
// handshake has left behind, never reach DTLS.
const (
	// HandshakeHeader is the length in front of the DTLS records.
	HandshakeHeader = 1 + 4 + handshakeTag
	handshakeTag    = 8
)

// TaggedConn carries the flights of a first handshake as datagrams of their own.
type TaggedConn struct {
	*Flights
	peer uint32 // session index of the peer

	sendKey, receiveKey []byte
}

// NewTaggedConn returns the connection of an end to the peer that has a session index. lower
// is whether this end has the lower node ID. send is called with each handshake datagram.
func NewTaggedConn(lower bool, peer uint32, binding [32]byte, send func(datagram []byte)) (*TaggedConn, error) {
	fromLower, err := handshakeKey(binding, "evio1 handshake from lower")
	if err != nil {
		return nil, err
	}
	fromHigher, err := handshakeKey(binding, "evio1 handshake from higher")
	if err != nil {
		return nil, err
	}
	c := &TaggedConn{peer: peer, sendKey: fromHigher, receiveKey: fromLower}
	if lower {
		c.sendKey, c.receiveKey = fromLower, fromHigher
	}
	c.Flights = NewFlights(func(b []byte) { send(c.datagram(b)) })
	return c, nil
}

func handshakeKey(binding [32]byte, label string) ([]byte, error) {
	return hkdf.Key(sha256.New, binding[:], nil, label, sha256.Size)
}

func tag(key []byte, index, body []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write(index)
	mac.Write(body)
	return mac.Sum(nil)[:handshakeTag]
}

// Accept takes a handshake datagram, which must be longer than HandshakeHeader. genuine is
// whether its tag is right, and taken whether there was room for it.
func (c *TaggedConn) Accept(datagram []byte) (genuine, taken bool) {
	body := datagram[HandshakeHeader:]
	if !hmac.Equal(datagram[5:HandshakeHeader], tag(c.receiveKey, datagram[1:5], body)) {
		return false, false
	}
	return true, c.Inbox.Put(netip.AddrPort{}, body)
}

// datagram wraps DTLS records.
func (c *TaggedConn) datagram(b []byte) []byte {
	datagram := make([]byte, HandshakeHeader, HandshakeHeader+len(b))
	datagram[0] = udp.FirstHandshake
	binary.BigEndian.PutUint32(datagram[1:], c.peer)
	copy(datagram[5:], tag(c.sendKey, datagram[1:5], b))
	return append(datagram, b...)
}
