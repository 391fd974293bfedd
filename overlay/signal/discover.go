package signal

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Resolver finds servers by their names; a net.Resolver is one. What it returns is
// tried in its order.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
	LookupSRV(ctx context.Context, service, proto, name string) (string, []*net.SRV, error)
}

const (
	// maxEndpoints bounds the hosts of SRV records that one attempt tries.
	maxEndpoints = 8
	// discoverTimeout leaves most of loginTimeout to the login, where nobody answers
	// for SRV records.
	discoverTimeout = 10 * time.Second
)

// endpoint is a host and a port where the account's server may be.
type endpoint struct{ host, port string }

func (e endpoint) String() string { return net.JoinHostPort(strings.TrimSuffix(e.host, "."), e.port) }

// endpoints returns where to connect, in the order in which it is tried: the server that
// is configured, or else what SRV records name for the JID's domain (RFC 6120, section
// 3.2; XEP-0368 for direct TLS), or else the domain itself. Whoever answers must show a
// certificate of the domain, so that nobody gains by a forged record.
func (c *Client) endpoints(ctx context.Context) ([]endpoint, error) {
	own := []endpoint{c.account.server}
	if _, err := netip.ParseAddr(c.account.host); err == nil || !c.account.discover {
		return own, nil
	}
	ctx, cancel := context.WithTimeout(ctx, discoverTimeout)
	defer cancel()
	service := "xmpp-client"
	if c.cfg.DirectTLS {
		service = "xmpps-client"
	}
	_, records, err := c.cfg.Resolver.LookupSRV(ctx, service, "tcp", c.account.host)
	if err != nil {
		c.log.WithError(err).Debug("no SRV records, connecting to the domain itself")
		return own, nil // the domain may still have an address, and its error says more
	}
	return chosen(service, c.account.host, records)
}

// chosen makes endpoints of SRV records.
func chosen(service, domain string, records []*net.SRV) ([]endpoint, error) {
	var found []endpoint
	for _, r := range records {
		if r.Target != "." && r.Target != "" && r.Port != 0 && len(found) < maxEndpoints {
			found = append(found, endpoint{host: r.Target, port: strconv.Itoa(int(r.Port))})
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("the SRV records of _%s._tcp.%s say that there is no such service: name the server in the configuration, or correct them", service, domain)
	}
	return found, nil
}

// failures are why no endpoint could be used, an error for each.
type failures []error

func (f failures) Error() string {
	said := make([]string, len(f))
	for i, err := range f {
		said[i] = err.Error()
	}
	return strings.Join(said, "; ")
}

func (f failures) Unwrap() []error { return f }

// anyOf tries the endpoints one after another, each with its share of the time, until
// one serves or refuses the account, which another one of the domain would as well.
func anyOf[T any](ctx context.Context, endpoints []endpoint, limit time.Duration, try func(context.Context, endpoint) (T, error)) (T, error) {
	var failed failures
	var none T
	end := time.Now().Add(limit)
	for i, at := range endpoints {
		share := time.Until(end) / time.Duration(len(endpoints)-i)
		once, cancel := context.WithTimeout(ctx, share)
		got, err := try(once, at)
		cancel()
		if err == nil {
			return got, nil
		}
		if refused(err) || ctx.Err() != nil {
			return none, err
		}
		failed = append(failed, err)
	}
	if len(failed) == 1 {
		return none, failed[0]
	}
	return none, failed
}

var errNoAddress = errors.New("the name has no address")
