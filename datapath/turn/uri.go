package turn

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// The transports between client and server.
const (
	UDP = "udp"
	TCP = "tcp"
	TLS = "tls"
)

// The ports of RFC 8656 section 5 for URIs that name none.
const (
	DefaultPort    = 3478
	DefaultTLSPort = 5349
)

// maxURI is more than the longest name with scheme, port and transport.
const maxURI = 300

// URI is what a TURN URI (RFC 7065) says.
type URI struct {
	Host      string // a name or an address without brackets
	Port      uint16
	Transport string // UDP, TCP or TLS
}

// ParseURI reads turn:HOST[:PORT][?transport=udp|tcp] and turns:HOST[:PORT]. An
// IPv6 address is written in brackets.
func ParseURI(text string) (URI, error) {
	if len(text) > maxURI {
		return URI{}, fmt.Errorf("a TURN URI of %d bytes: it has at most %d", len(text), maxURI)
	}
	fault := func(advice string) (URI, error) {
		return URI{}, fmt.Errorf("TURN URI %q: %s", text, advice)
	}
	scheme, rest, _ := strings.Cut(text, ":")
	rest, query, asked := strings.Cut(rest, "?")
	uri := URI{Transport: UDP, Port: DefaultPort}
	switch strings.ToLower(scheme) {
	case "turn":
	case "turns":
		uri = URI{Transport: TLS, Port: DefaultTLSPort}
	default:
		return fault("begin it with turn: or turns:")
	}
	if asked {
		name, value, _ := strings.Cut(query, "=")
		switch value = strings.ToLower(value); {
		case name != "transport" || value != "udp" && value != "tcp":
			return fault("after the question mark write transport=udp or transport=tcp")
		case uri.Transport != TLS:
			uri.Transport = value
		case value == "udp":
			return fault("TLS over UDP is not supported; leave the transport out")
		}
	}
	host, port, err := splitHost(rest)
	if err != nil {
		return fault(err.Error())
	}
	if uri.Host = host; port != "" {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return fault("write a port from 1 to 65535")
		}
		uri.Port = uint16(n)
	}
	return uri, nil
}

// splitHost splits HOST[:PORT] and checks the host.
func splitHost(text string) (host, port string, err error) {
	if strings.HasPrefix(text, "[") {
		address, rest, closed := strings.Cut(text[1:], "]")
		a, err := netip.ParseAddr(address)
		if !closed || err != nil || !a.Is6() || a.Zone() != "" || rest != "" && !strings.HasPrefix(rest, ":") {
			return "", "", fmt.Errorf("write an IPv6 address in brackets, as in turn:[2001:db8::1]:%d", DefaultPort)
		}
		if rest == ":" {
			return "", "", fmt.Errorf("write a port after the colon")
		}
		return a.String(), strings.TrimPrefix(rest, ":"), nil
	}
	host, port, colon := strings.Cut(text, ":")
	switch {
	case strings.Contains(port, ":"):
		return "", "", fmt.Errorf("write an IPv6 address in brackets, as in turn:[2001:db8::1]:%d", DefaultPort)
	case colon && port == "":
		return "", "", fmt.Errorf("write a port after the colon")
	case !isHost(host):
		return "", "", fmt.Errorf("write a host name or an address after the scheme, as in turn:turn.example.org")
	}
	return host, port, nil
}

// isHost accepts what can be asked of a resolver, and IPv4 addresses.
func isHost(s string) bool {
	if s == "" || len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(strings.TrimSuffix(s, "."), ".") {
		if label == "" || len(label) > 63 || label[0] == '-' {
			return false
		}
		for _, c := range []byte(label) {
			if c != '-' && c != '_' && (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') {
				return false
			}
		}
	}
	return true
}

// String writes the URI in full.
func (u URI) String() string {
	address := net.JoinHostPort(u.Host, strconv.Itoa(int(u.Port)))
	if u.Transport == TLS {
		return "turns:" + address + "?transport=tcp"
	}
	return "turn:" + address + "?transport=" + u.Transport
}
