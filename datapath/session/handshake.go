package session

import (
	"context"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/dtls/v3/pkg/crypto/elliptic"

	"evio/datapath/udp"
)

// A handshake datagram is {192, session index of the receiver (4), tag (8),
// DTLS records}. The tag is keyed by the binding, which only the two ends and
// whoever carried their parameters know: what a stranger sends, or an earlier
// attempt has left behind, never reaches DTLS.
const (
	handshakeHeader = 1 + 4 + handshakeTag
	handshakeTag    = 8
	handshakeInbox  = 32 // datagrams: four flights

	dtlsMTU        = 1000
	flightInterval = 250 * time.Millisecond // doubled by each repetition

	exporterLabel = "EXPORTER-evio-1"
	exporterSize  = 32
)

// handshakeConn is the net.PacketConn beneath a DTLS connection. Its peer has
// one constant address, whatever the path.
type handshakeConn struct {
	session *Session
	remote  uint32 // index of the peer
	inbox   *udp.Inbox
	muted   atomic.Bool
	path    atomic.Pointer[path]

	sendKey, receiveKey []byte
}

// peerAddr is the address of the peer of every handshakeConn.
type peerAddr struct{}

func (peerAddr) Network() string { return "evio" }
func (peerAddr) String() string  { return "peer" }

var _ net.PacketConn = (*handshakeConn)(nil)

func newHandshakeConn(s *Session, c connection) (*handshakeConn, error) {
	lower, err := handshakeKey(c.binding, "evio1 handshake from lower")
	if err != nil {
		return nil, err
	}
	higher, err := handshakeKey(c.binding, "evio1 handshake from higher")
	if err != nil {
		return nil, err
	}
	h := &handshakeConn{session: s, remote: c.peer.Index, inbox: udp.NewInbox(handshakeInbox)}
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

// ReadFrom implements net.PacketConn.
func (h *handshakeConn) ReadFrom(b []byte) (int, net.Addr, error) {
	p, err := h.inbox.Get()
	if err != nil {
		return 0, nil, err
	}
	return copy(b, p.Data), peerAddr{}, nil
}

// WriteTo implements net.PacketConn. What cannot be sent now is lost, as on
// every datagram path; DTLS repeats it.
func (h *handshakeConn) WriteTo(b []byte, _ net.Addr) (int, error) {
	p := h.path.Load()
	if p == nil || h.muted.Load() {
		return len(b), nil
	}
	datagram := make([]byte, handshakeHeader, handshakeHeader+len(b))
	datagram[0] = udp.FirstHandshake
	binary.BigEndian.PutUint32(datagram[1:], h.remote)
	copy(datagram[5:], tag(h.sendKey, datagram[1:5], b))
	h.session.sendDatagram(p, append(datagram, b...))
	return len(b), nil
}

// LocalAddr implements net.PacketConn.
func (h *handshakeConn) LocalAddr() net.Addr { return peerAddr{} }

// SetDeadline implements net.PacketConn.
func (h *handshakeConn) SetDeadline(t time.Time) error { return h.SetReadDeadline(t) }

// SetReadDeadline implements net.PacketConn.
func (h *handshakeConn) SetReadDeadline(t time.Time) error {
	h.inbox.SetDeadline(t)
	return nil
}

// SetWriteDeadline implements net.PacketConn. Writing never waits for the peer.
func (h *handshakeConn) SetWriteDeadline(time.Time) error { return nil }

// Close implements net.PacketConn.
func (h *handshakeConn) Close() error {
	h.muted.Store(true)
	h.inbox.Close()
	return nil
}

// dial makes the DTLS connection of an attempt: the lower node ID is the
// client. The certificates are compared by verifyIdentity alone, hence the
// skipped verification of chains and names, which there are none of. HelloVerify
// is left out: tags keep strangers away.
func (h *handshakeConn) dial() (*dtls.Conn, error) {
	s := h.session
	common := []dtls.Option{
		dtls.WithCertificates(s.transport.certificate),
		dtls.WithCipherSuites(dtls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
		dtls.WithEllipticCurves(elliptic.X25519),
		dtls.WithSignatureSchemes(tls.Ed25519),
		dtls.WithExtendedMasterSecret(dtls.RequireExtendedMasterSecret),
		dtls.WithInsecureSkipVerify(true),
		dtls.WithVerifyConnection(verifyIdentity(s.options.RemoteKey)),
		dtls.WithFlightInterval(flightInterval),
		dtls.WithMTU(dtlsMTU),
		dtls.WithLoggerFactory(pionLog{s.log}),
	}
	if s.lower {
		options := make([]dtls.ClientOption, len(common))
		for i, o := range common {
			options[i] = o
		}
		return dtls.ClientWithOptions(h, peerAddr{}, options...)
	}
	options := []dtls.ServerOption{
		dtls.WithClientAuth(dtls.RequireAnyClientCert),
		dtls.WithInsecureSkipVerifyHello(true),
	}
	for _, o := range common {
		options = append(options, o)
	}
	return dtls.ServerWithOptions(h, peerAddr{}, options...)
}

// exported runs the handshake and returns the secret that both ends have now.
func exported(ctx context.Context, conn *dtls.Conn) ([]byte, error) {
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("handshake with peer: %w", err)
	}
	state, ok := conn.ConnectionState()
	if !ok {
		return nil, fmt.Errorf("handshake with peer: no state")
	}
	secret, err := state.ExportKeyingMaterial(exporterLabel, nil, exporterSize)
	if err != nil {
		return nil, fmt.Errorf("export keys of handshake: %w", err)
	}
	return secret, nil
}
