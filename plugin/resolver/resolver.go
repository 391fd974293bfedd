// Package resolver resolves the names of servers as the host does now: by the host's
// hosts file (hosts(5)) and the DNS servers of its resolv.conf (resolv.conf(5)).
//
// A managed plugin has copies of these files that were made when it started. The host's
// are replaced later, by DHCP, by a VPN, or when a mobile link comes up, so each lookup
// reads the files of the host as they are then. Nothing is cached.
//
// The methods are those of net.Resolver, so that either serves whoever looks names up.
package resolver

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"github.com/miekg/dns"
)

// Resolver may be used by any goroutine.
type Resolver struct {
	root string // the host's root directory, as it is seen from here
	port string // of the DNS servers
	rank func(netip.Addr) int
}

// New makes a resolver for the host whose folders are found below prefix, "" for /.
func New(prefix string) *Resolver {
	if prefix == "" {
		prefix = "/"
	}
	return &Resolver{root: prefix, port: "53", rank: rank}
}

// What is wrong, and what to do, as the text of a net.DNSError.
const (
	noAnswer   = "no DNS server answers; check /etc/resolv.conf of the host and its network"
	noServers  = "no DNS server is known; name one in /etc/resolv.conf of the host"
	noSuchName = "there is no such name in DNS or in /etc/hosts of the host; check its spelling"
	noRecords  = "the name has no address; check its spelling"
	noName     = "this is no name of a host; check its spelling"
)

// LookupNetIP returns the addresses of a host, those first that most likely can be
// reached. The network is ip, ip4 or ip6. An error is a *net.DNSError.
func (r *Resolver) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a}, nil
	}
	if !isName(host) {
		return nil, &net.DNSError{Err: noName, Name: host, IsNotFound: true}
	}
	found := r.inHosts(host)
	if len(found) == 0 {
		var err error
		if found, err = r.inDNS(ctx, network, host); err != nil {
			return nil, err
		}
	}
	found = slices.DeleteFunc(found, func(a netip.Addr) bool {
		return network == "ip4" && !a.Is4() || network == "ip6" && a.Is4()
	})
	if len(found) == 0 {
		return nil, &net.DNSError{Err: noRecords, Name: host, IsNotFound: true}
	}
	ranks := make(map[netip.Addr]int, len(found))
	for _, a := range found {
		ranks[a] = r.rank(a)
	}
	slices.SortStableFunc(found, func(a, b netip.Addr) int { return ranks[a] - ranks[b] })
	return found, nil
}

// inDNS asks for the addresses of a name, with the host's search domains.
func (r *Resolver) inDNS(ctx context.Context, network, host string) ([]netip.Addr, error) {
	c, err := r.configuration(host)
	if err != nil {
		return nil, err
	}
	missing := &net.DNSError{Err: noSuchName, Name: host, Server: c.servers(), IsNotFound: true}
	var failed *net.DNSError
	for _, name := range c.NameList(host) {
		found, err := r.addresses(ctx, c, network, name)
		switch fault, ok := errors.AsType[*net.DNSError](err); {
		case len(found) > 0:
			return found, nil
		case !ok:
			missing.Err = noRecords
		case !fault.IsNotFound:
			failed = fault
			failed.Name = host
		default:
		}
		if failed != nil && failed.IsTimeout {
			break // another name makes no difference
		}
	}
	if failed != nil {
		return nil, failed
	}
	return nil, missing
}

// addresses asks for both families at once. The answer of one is enough.
func (r *Resolver) addresses(ctx context.Context, c configuration, network, name string) ([]netip.Addr, error) {
	types := []uint16{dns.TypeAAAA, dns.TypeA}
	switch network {
	case "ip4":
		types = types[1:]
	case "ip6":
		types = types[:1]
	default:
	}
	found, errs := make([][]netip.Addr, len(types)), make([]error, len(types))
	var asking sync.WaitGroup
	for i, t := range types {
		asking.Go(func() {
			answer, err := r.ask(ctx, c, name, t)
			if errs[i] = err; err == nil {
				found[i] = addressesOf(answer, name)
			}
		})
	}
	asking.Wait()
	if all := slices.Concat(found...); len(all) > 0 {
		return all, nil
	}
	return nil, mostTelling(errs)
}

// mostTelling returns the error that is not about a name that is not there, if there is one.
func mostTelling(errs []error) error {
	for _, err := range errs {
		if fault, ok := errors.AsType[*net.DNSError](err); ok && !fault.IsNotFound {
			return err
		}
	}
	return errors.Join(errs...)
}

// LookupSRV returns the SRV records (RFC 2782) of a service, in the order in which they
// are to be tried. The name is asked for as it is, without search domains. An error is
// a *net.DNSError.
func (r *Resolver) LookupSRV(ctx context.Context, service, proto, name string) (string, []*net.SRV, error) {
	name = dns.Fqdn("_" + service + "._" + proto + "." + name)
	if !isName(name) {
		return "", nil, &net.DNSError{Err: noName, Name: name, IsNotFound: true}
	}
	c, err := r.configuration(name)
	if err != nil {
		return "", nil, err
	}
	answer, err := r.ask(ctx, c, name, dns.TypeSRV)
	if err != nil {
		return "", nil, err
	}
	cname, found := servicesOf(answer, name)
	if len(found) == 0 {
		return "", nil, &net.DNSError{Err: "the name has no SRV records", Name: name, Server: c.servers(), IsNotFound: true}
	}
	order(found, randomBelow)
	return cname, found, nil
}

// isName reports whether s can be asked for.
func isName(s string) bool {
	_, ok := dns.IsDomainName(s)
	return ok && strings.Trim(s, ".") != ""
}
