package session

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"net/netip"
	"sync/atomic"

	"evio/datapath/udp"
)

// A handshake datagram is {192, session index of the receiver (4), tag (8),
// DTLS records}. The tag is keyed by the binding, which only the two ends and
// whoever carried their parameters know: what a stranger sends, or an earlier
// attempt has left behind, never reaches DTLS.
const (
	handshakeHeader = 1 + 4 + handshakeTag
	handshakeTag    = 8
)

// handshakeConn carries the flights of the first handshake, bare on the path.
type handshakeConn struct {
	flights
	session *Session
	remote  uint32 // index of the peer
	path    atomic.Pointer[boundPath]

	sendKey, receiveKey []byte
}

func newHandshakeConn(s *Session, c connection) (*handshakeConn, error) {
	lower, err := handshakeKey(c.binding, "evio1 handshake from lower")
	if err != nil {
		return nil, err
	}
	higher, err := handshakeKey(c.binding, "evio1 handshake from higher")
	if err != nil {
		return nil, err
	}
	h := &handshakeConn{session: s, remote: c.peer.Index}
	h.inbox, h.send = udp.NewInbox(handshakeInbox), h.sendTagged
	h.sendKey, h.receiveKey = higher, lower
	if s.lower {
		h.sendKey, h.receiveKey = lower, higher
	}
	return h, nil
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

// accept takes a handshake datagram from the reader. It returns false for one
// whose tag is wrong, and whether there was room for it.
func (h *handshakeConn) accept(datagram []byte) (genuine, taken bool) {
	body := datagram[handshakeHeader:]
	if !hmac.Equal(datagram[5:handshakeHeader], tag(h.receiveKey, datagram[1:5], body)) {
		return false, false
	}
	return true, h.inbox.Put(netip.AddrPort{}, body)
}

// sendTagged sends DTLS records, once there is a path.
func (h *handshakeConn) sendTagged(b []byte) {
	p := h.path.Load()
	if p == nil {
		return
	}
	datagram := make([]byte, handshakeHeader, handshakeHeader+len(b))
	datagram[0] = udp.FirstHandshake
	binary.BigEndian.PutUint32(datagram[1:], h.remote)
	copy(datagram[5:], tag(h.sendKey, datagram[1:5], b))
	h.session.sendDatagram(p, append(datagram, b...))
}
