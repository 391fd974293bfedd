package turn

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/logging"
	"github.com/pion/stun/v4"
	"github.com/pion/turn/v5"
	"github.com/sirupsen/logrus"
	logtest "github.com/sirupsen/logrus/hooks/test"

	"evio/datapath/udp"
)

const patience = 10 * time.Second

// testServer is a TURN server on loopback with the user evio and the password
// right, or with the secret shared.
type testServer struct {
	t       *testing.T
	server  *turn.Server
	address netip.AddrPort
	full    atomic.Bool // 486
	secret  bool
	denied  atomic.Bool // 403 to permissions
	enemy   netip.Addr  // 403 to its permission
	expired atomic.Bool // no credentials are taken
	muted   atomic.Bool // what clients send by UDP gets lost
	tls     *tls.Config
	network string

	permissions atomic.Int32 // requests for them, by UDP
}

// entrance is where a server hears its clients.
type entrance struct {
	net.PacketConn
	server *testServer
}

func (e entrance) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		n, from, err := e.PacketConn.ReadFrom(b)
		if err == nil && e.server.muted.Load() {
			continue
		}
		if t := (stun.MessageType{Method: stun.MethodCreatePermission, Class: stun.ClassRequest}).Value(); n > 1 && binary.BigEndian.Uint16(b) == t {
			e.server.permissions.Add(1)
		}
		return n, from, err
	}
}

// serve starts a server at a free port.
func serve(t *testing.T, network string, change func(*testServer)) *testServer {
	t.Helper()
	s := &testServer{t: t, network: network, address: netip.MustParseAddrPort("127.0.0.1:0")}
	if change != nil {
		change(s)
	}
	s.start()
	t.Cleanup(s.stop)
	return s
}

func (s *testServer) start() {
	s.t.Helper()
	log := &logging.DefaultLoggerFactory{Writer: io.Discard, DefaultLogLevel: logging.LogLevelDisabled}
	loopback := &turn.RelayAddressGeneratorStatic{RelayAddress: net.IPv4(127, 0, 0, 1), Address: "127.0.0.1"}
	config := turn.ServerConfig{
		Realm: "example", LoggerFactory: log, StrictAddressFamily: true,
		AuthHandler: func(r *turn.RequestAttributes) (string, []byte, bool) {
			return r.Username, turn.GenerateAuthKey(r.Username, r.Realm, "right"), r.Username == "evio"
		},
		QuotaHandler: func(string, string, net.Addr) bool { return !s.full.Load() },
	}
	if s.secret {
		check := turn.LongTermTURNRESTAuthHandler("shared", log.NewLogger("auth"))
		config.AuthHandler = func(r *turn.RequestAttributes) (string, []byte, bool) {
			user, key, ok := check(r)
			return user, key, ok && !s.expired.Load()
		}
	}
	if s.network == UDP {
		conn, err := net.ListenPacket("udp", s.address.String())
		if err != nil {
			s.t.Fatal(err)
		}
		s.address = conn.LocalAddr().(*net.UDPAddr).AddrPort()
		config.PacketConnConfigs = []turn.PacketConnConfig{{PacketConn: entrance{conn, s}, RelayAddressGenerator: loopback, PermissionHandler: s.permits}}
	} else {
		listener, err := net.Listen("tcp", s.address.String())
		if err != nil {
			s.t.Fatal(err)
		}
		s.address = listener.Addr().(*net.TCPAddr).AddrPort()
		if s.tls != nil {
			listener = tls.NewListener(listener, s.tls)
		}
		config.ListenerConfigs = []turn.ListenerConfig{{Listener: listener, RelayAddressGenerator: loopback, PermissionHandler: s.permits}}
	}
	server, err := turn.NewServer(config)
	if err != nil {
		s.t.Fatal(err)
	}
	s.server = server
}

func (s *testServer) permits(_ net.Addr, peer net.IP) bool {
	return !s.denied.Load() && peer.String() != s.enemy.String()
}

func (s *testServer) stop() {
	if s.server != nil {
		_ = s.server.Close() // of connections that clients closed
		s.server = nil
	}
}

// client is the server with right credentials.
func (s *testServer) client() Server {
	c := Server{URI: fmt.Sprintf("turn:%s?transport=%s", s.address, s.network), Username: "evio"}
	if s.tls != nil {
		c.URI = fmt.Sprintf("turns:localhost:%d", s.address.Port())
	}
	if s.secret {
		c.Secret = text("shared")
	} else {
		c.Password = text("right")
	}
	return c
}

func text(s string) func() (string, error) { return func() (string, error) { return s, nil } }

// arrival is a delivered datagram.
type arrival struct {
	from netip.AddrPort
	data string
}

// client is a pool with what it delivers and logs.
type client struct {
	*Pool
	arrived chan arrival
	log     *logtest.Hook
}

// newClient makes a pool with short times.
func newClient(t *testing.T, servers ...Server) *client {
	t.Helper()
	return newClientWith(t, timing{
		stagger: 50 * time.Millisecond, answer: 2 * time.Second, refresh: 50 * time.Millisecond,
		linger: 50 * time.Millisecond, retry: 100 * time.Millisecond,
	}, servers...)
}

func newClientWith(t *testing.T, times timing, servers ...Server) *client {
	t.Helper()
	log, hook := logtest.NewNullLogger()
	c := &client{arrived: make(chan arrival, 1024), log: hook}
	pool, err := New(Config{
		Servers: servers, Log: logrus.NewEntry(log), AllowLoopback: true, timing: times,
		Offload: udp.Offload{Send: true, Receive: true},
		Deliver: func(a *Allocation, batch []udp.Datagram) {
			for _, d := range batch {
				if d.Local != a.Addr().Addr() {
					t.Errorf("a datagram to %v came through %v", d.Local, a.Addr())
				}
				c.arrived <- arrival{d.Remote, string(d.Data)}
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	c.Pool = pool
	t.Cleanup(func() {
		if err := pool.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func (c *client) acquire(t *testing.T) *Allocation {
	t.Helper()
	a, err := c.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func (c *client) await(t *testing.T) arrival {
	t.Helper()
	select {
	case a := <-c.arrived:
		return a
	case <-time.After(patience):
		t.Fatal("nothing arrived")
		return arrival{}
	}
}

func awaitDone(t *testing.T, a *Allocation) {
	t.Helper()
	select {
	case <-a.Done():
	case <-time.After(patience):
		t.Fatal("the loss was not noticed")
	}
}

// until polls for what a server does.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(patience)
	for !done() {
		select {
		case <-ticker.C:
		case <-deadline:
			t.Fatalf("%s: not within %v", what, patience)
		}
	}
}

// authority makes a CA and a certificate for localhost.
var authority = sync.OnceValues(func() (*x509.CertPool, tls.Certificate) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"localhost"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(certificate)
	return pool, tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
})
