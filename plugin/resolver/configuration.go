package resolver

import (
	"errors"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// Limits of resolv.conf(5).
const (
	maxServers  = 3
	maxTimeout  = 30 // seconds
	maxAttempts = 5

	maxConfiguration = 64 << 10 // bytes
)

// configuration is what a resolv.conf says. Its servers are host:port.
type configuration struct{ dns.ClientConfig }

// configuration reads the host's resolv.conf for a lookup of name. Without the file, or
// servers in it, the server of the host itself is asked, as every other program does.
func (r *Resolver) configuration(name string) (configuration, error) {
	f, err := r.open(resolvConf)
	if errors.Is(err, fs.ErrNotExist) {
		return parseConfiguration(strings.NewReader(""), r.port)
	}
	if err != nil {
		return configuration{}, &net.DNSError{Err: noServers + " (" + err.Error() + ")", Name: name, IsTemporary: true}
	}
	defer f.Close() //nolint:errcheck // only read from
	c, err := parseConfiguration(io.LimitReader(f, maxConfiguration), r.port)
	if err != nil {
		return c, &net.DNSError{Err: noServers + " (" + err.Error() + ")", Name: name, IsTemporary: true}
	}
	return c, nil
}

func parseConfiguration(file io.Reader, port string) (configuration, error) {
	c, err := dns.ClientConfigFromReader(file)
	if err != nil {
		return configuration{}, err
	}
	var servers []string
	for _, s := range c.Servers {
		if a, err := netip.ParseAddr(s); err == nil && len(servers) < maxServers { // IPv6 may have a zone
			servers = append(servers, net.JoinHostPort(a.String(), port))
		}
	}
	if c.Servers = servers; len(servers) == 0 {
		c.Servers = []string{net.JoinHostPort("127.0.0.1", port)}
	}
	c.Search = slices.DeleteFunc(c.Search, func(s string) bool { return !isName(s) })
	c.Timeout = min(c.Timeout, maxTimeout)
	c.Attempts = min(c.Attempts, maxAttempts)
	return configuration{*c}, nil
}

func (c configuration) servers() string { return strings.Join(c.Servers, ", ") }

// patience is how long one server has for an answer.
func (c configuration) patience() time.Duration { return time.Duration(c.Timeout) * time.Second }
