package turn

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/sirupsen/logrus"

	"evio/datapath/udp"
)

// MaxServers is how many servers a pool takes.
const MaxServers = 4

// Server is one TURN server with the credentials of this engine: a password or
// a secret, not both. The functions are called at each allocation, so a file
// may change while the process runs.
type Server struct {
	URI      string                         // RFC 7065, see ParseURI
	Username string                         // needed with Password; a suffix of the made name with Secret, may be empty
	Password func() (string, error)         // long-term credentials
	Secret   func() (string, error)         // shared secret that credentials are made of
	RootCAs  func() (*x509.CertPool, error) // for turns; nil: the system's authorities
}

// Config is what a Pool needs. Log and Deliver are mandatory.
type Config struct {
	Servers []Server // in order of preference, at most MaxServers

	// Deliver takes datagrams that peers sent to the relayed address and that came
	// together. It is called by the one reader of the allocation and must neither
	// wait nor call Close of the pool. Vector and bytes are valid during the call
	// only; it may change bytes as udp.Datagram says.
	Deliver func(a *Allocation, batch []udp.Datagram)

	// Offload is what is left to the kernel on connections by UDP.
	Offload udp.Offload

	Log *logrus.Entry

	// AllowLoopback lets peers have loopback addresses, for tests.
	AllowLoopback bool

	// Resolve and Dial replace the system's resolver and sockets; nil: the system's.
	// Dial connects to "udp", which gives a *net.UDPConn, or "tcp".
	Resolve func(ctx context.Context, host string) ([]netip.Addr, error)
	Dial    func(ctx context.Context, network string, to netip.AddrPort) (net.Conn, error)

	timing timing // zero fields have the default
}

// Validate returns one sentence for each fault.
func (c Config) Validate() error {
	var faults []error
	if len(c.Servers) > MaxServers {
		faults = append(faults, fmt.Errorf("%d TURN servers: name at most %d", len(c.Servers), MaxServers))
	}
	for _, s := range c.Servers {
		faults = append(faults, s.validate())
	}
	if c.Deliver == nil || c.Log == nil {
		faults = append(faults, errors.New("a TURN pool needs a log and a receiver"))
	}
	return errors.Join(faults...)
}

func (s Server) validate() error {
	uri, err := ParseURI(s.URI)
	switch {
	case err != nil:
		return err
	case (s.Password == nil) == (s.Secret == nil):
		return fmt.Errorf("TURN server %s: give it either a password or a secret", uri)
	case s.Password != nil && s.Username == "":
		return fmt.Errorf("TURN server %s: a password needs a username", uri)
	case s.RootCAs != nil && uri.Transport != TLS:
		return fmt.Errorf("TURN server %s: a CA serves TLS only; write turns: or leave it out", uri)
	}
	return nil
}
