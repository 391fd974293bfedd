package session

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/dtls/v3/pkg/crypto/elliptic"

	"evio/datapath/udp"
)

const (
	handshakeInbox = 32 // datagrams: four flights

	dtlsMTU        = 1000
	flightInterval = 250 * time.Millisecond // doubled by each repetition

	exporterLabel = "EXPORTER-evio-1"
	exporterSize  = 32
)

// flights is the net.PacketConn beneath a DTLS connection. Its peer has one
// constant address, whatever the path. How datagrams travel is the owner's matter:
// send is called with each, inbox holds those that have come.
type flights struct {
	inbox *udp.Inbox
	send  func(datagram []byte)
	muted atomic.Bool // nothing is sent any more
}

// peerAddr is the address of the peer of all flights.
type peerAddr struct{}

func (peerAddr) Network() string { return "evio" }
func (peerAddr) String() string  { return "peer" }

var _ net.PacketConn = (*flights)(nil)

// ReadFrom implements net.PacketConn.
func (f *flights) ReadFrom(b []byte) (int, net.Addr, error) {
	p, err := f.inbox.Get()
	if err != nil {
		return 0, nil, err
	}
	return copy(b, p.Data), peerAddr{}, nil
}

// WriteTo implements net.PacketConn. What cannot be sent now is lost, as on
// every datagram path; DTLS repeats it.
func (f *flights) WriteTo(b []byte, _ net.Addr) (int, error) {
	if !f.muted.Load() {
		f.send(b)
	}
	return len(b), nil
}

// LocalAddr implements net.PacketConn.
func (f *flights) LocalAddr() net.Addr { return peerAddr{} }

// SetDeadline implements net.PacketConn.
func (f *flights) SetDeadline(t time.Time) error { return f.SetReadDeadline(t) }

// SetReadDeadline implements net.PacketConn.
func (f *flights) SetReadDeadline(t time.Time) error {
	f.inbox.SetDeadline(t)
	return nil
}

// SetWriteDeadline implements net.PacketConn. Writing never waits for the peer.
func (f *flights) SetWriteDeadline(time.Time) error { return nil }

// Close implements net.PacketConn.
func (f *flights) Close() error {
	f.muted.Store(true)
	f.inbox.Close()
	return nil
}

// dial makes the DTLS connection of a handshake: the lower node ID is the
// client. The certificates are compared by verifyIdentity alone, hence the
// skipped verification of chains and names, which there are none of. HelloVerify
// is left out: tags, and records in a rekey, keep strangers away.
func (s *Session) dial(f *flights) (*dtls.Conn, error) {
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
		return dtls.ClientWithOptions(f, peerAddr{}, options...)
	}
	options := []dtls.ServerOption{
		dtls.WithClientAuth(dtls.RequireAnyClientCert),
		dtls.WithInsecureSkipVerifyHello(true),
	}
	for _, o := range common {
		options = append(options, o)
	}
	return dtls.ServerWithOptions(f, peerAddr{}, options...)
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
