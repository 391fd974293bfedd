package turn

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"

	"evio/datapath/udp"
	"evio/wall"
)

// maxAddresses bounds the addresses of one server that are tried.
const maxAddresses = 4

// lookup resolves a host by the system.
func lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
}

// dial connects by the system.
func dial(ctx context.Context, network string, to netip.AddrPort) (net.Conn, error) {
	if network == UDP {
		conn, err := udp.Dial(ctx, to)
		if err != nil {
			return nil, err // not a nil connection in an interface
		}
		return conn, nil
	}
	return new(net.Dialer).DialContext(ctx, network, to.String())
}

// addresses returns a server's addresses, the families alternating.
func (p *Pool) addresses(ctx context.Context, u URI) ([]netip.AddrPort, error) {
	found := []netip.Addr{}
	if a, err := netip.ParseAddr(u.Host); err == nil {
		found = append(found, a)
	} else if found, err = p.config.Resolve(ctx, u.Host); err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, &net.DNSError{Err: "no addresses", Name: u.Host, IsNotFound: true}
	}
	var out []netip.AddrPort
	for _, a := range interleave(found) {
		out = append(out, netip.AddrPortFrom(a, u.Port))
	}
	return out[:min(len(out), maxAddresses)], nil
}

// interleave makes the families alternate, beginning with that of the first address (RFC 8305
// section 4).
func interleave(addresses []netip.Addr) []netip.Addr {
	var first, second []netip.Addr
	for _, a := range addresses {
		if a = a.Unmap(); len(first) == 0 || a.Is4() == first[0].Is4() {
			first = append(first, a)
		} else {
			second = append(second, a)
		}
	}
	var out []netip.Addr
	for i := range max(len(first), len(second)) {
		if i < len(first) {
			out = append(out, first[i])
		}
		if i < len(second) {
			out = append(out, second[i])
		}
	}
	return out
}

// connect opens a connection to one address of a server.
func (p *Pool) connect(ctx context.Context, s *server, to netip.AddrPort) (net.Conn, error) {
	if s.uri.Transport == UDP {
		return p.config.Dial(ctx, UDP, to)
	}
	conn, err := p.config.Dial(ctx, TCP, to)
	if err != nil || s.uri.Transport == TCP {
		return conn, err
	}
	config := &tls.Config{ServerName: s.uri.Host, MinVersion: tls.VersionTLS12, Time: wall.Now}
	if s.config.RootCAs != nil {
		if config.RootCAs, err = s.config.RootCAs(); err != nil {
			_ = conn.Close() // nothing was sent
			return nil, fmt.Errorf("read its ca_file: %w", err)
		}
	}
	secure := tls.Client(conn, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = conn.Close() // nothing was sent
		return nil, err
	}
	return secure, nil
}
