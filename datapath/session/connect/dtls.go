package connect

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/dtls/v3/pkg/crypto/elliptic"
	"github.com/sirupsen/logrus"

	"evio/datapath/udp"
)

const (
	// InboxSize is how many datagrams wait for a handshake: four flights.
	InboxSize = 32

	dtlsMTU        = 1000
	flightInterval = 250 * time.Millisecond // doubled by each repetition

	exporterLabel = "EXPORTER-evio-1"
	exporterSize  = 32
)

// Flights is the net.PacketConn beneath a DTLS connection. Its peer has one constant
// address, whatever the path. The owner carries the datagrams: it puts those that have come
// into Inbox, and its send function is called with each that goes out.
type Flights struct {
	Inbox *udp.Inbox
	send  func(datagram []byte)
	muted atomic.Bool // nothing is sent any more
}

// NewFlights returns flights that go out by a function, which must not keep the datagram.
func NewFlights(send func(datagram []byte)) *Flights {
	return &Flights{Inbox: udp.NewInbox(InboxSize), send: send}
}

// Mute has nothing sent any more. Closing the connection above then sends no close_notify.
func (f *Flights) Mute() { f.muted.Store(true) }

// peerAddr is the address of the peer of all flights.
type peerAddr struct{}

func (peerAddr) Network() string { return "evio" }
func (peerAddr) String() string  { return "peer" }

var _ net.PacketConn = (*Flights)(nil)

// ReadFrom implements net.PacketConn.
func (f *Flights) ReadFrom(b []byte) (int, net.Addr, error) {
	p, err := f.Inbox.Get()
	if err != nil {
		return 0, nil, err
	}
	return copy(b, p.Data), peerAddr{}, nil
}

// WriteTo implements net.PacketConn. What cannot be sent now is lost, as on
// every datagram path; DTLS repeats it.
func (f *Flights) WriteTo(b []byte, _ net.Addr) (int, error) {
	if !f.muted.Load() {
		f.send(b)
	}
	return len(b), nil
}

// LocalAddr implements net.PacketConn.
func (f *Flights) LocalAddr() net.Addr { return peerAddr{} }

// SetDeadline implements net.PacketConn.
func (f *Flights) SetDeadline(t time.Time) error { return f.SetReadDeadline(t) }

// SetReadDeadline implements net.PacketConn.
func (f *Flights) SetReadDeadline(t time.Time) error {
	f.Inbox.SetDeadline(t)
	return nil
}

// SetWriteDeadline implements net.PacketConn. Writing never waits for the peer.
func (f *Flights) SetWriteDeadline(time.Time) error { return nil }

// Close implements net.PacketConn.
func (f *Flights) Close() error {
	f.Mute()
	f.Inbox.Close()
	return nil
}

// DTLS is the own end of a DTLS connection, and the identity that the peer must have.
type DTLS struct {
	Certificate tls.Certificate // of SelfSigned
	Peer        ed25519.PublicKey
	Client      bool
	Log         *logrus.Entry
}

// Dial makes the DTLS connection of a handshake; Exporter runs the handshake. verifyIdentity
// alone compares the certificates, so the verification of chains and names, which they do
// not have, is skipped. HelloVerify is left out: tags, and records in a rekey, keep
// strangers away.
func (d DTLS) Dial(f *Flights) (*dtls.Conn, error) {
	common := []dtls.Option{
		dtls.WithCertificates(d.Certificate),
		dtls.WithCipherSuites(dtls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
		dtls.WithEllipticCurves(elliptic.X25519),
		dtls.WithSignatureSchemes(tls.Ed25519),
		dtls.WithExtendedMasterSecret(dtls.RequireExtendedMasterSecret),
		dtls.WithInsecureSkipVerify(true),
		dtls.WithVerifyConnection(verifyIdentity(d.Peer)),
		dtls.WithFlightInterval(flightInterval),
		dtls.WithMTU(dtlsMTU),
		dtls.WithLoggerFactory(pionLog{d.Log}),
	}
	if d.Client {
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

// Exporter runs the handshake and returns the secret that both ends have now (RFC 5705).
func Exporter(ctx context.Context, conn *dtls.Conn) ([]byte, error) {
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
