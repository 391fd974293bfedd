package icemux

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
)

// maxHosts bounds the host candidates of a session, so that its checks stay
// few and its reflexive candidates find room in the parameters.
const maxHosts = 10

// foreign are the prefixes of interfaces that lead to containers or to other
// switches and never to a peer.
var foreign = []string{"docker", "br-", "veth", "ovs-"}

// HostFilter tells which addresses may be candidates.
type HostFilter struct {
	Exclude         func(name string) bool // further interfaces to leave out; nil for none
	IncludeLoopback bool                   // for tests on one machine
}

// Interface is an interface with its addresses.
type Interface struct {
	Name     string
	Up       bool
	Loopback bool
	Addrs    []netip.Addr
}

// Hosts returns the addresses of this machine that may be host candidates.
func Hosts(filter HostFilter) ([]netip.Addr, error) {
	list, err := interfaces()
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	return filter.Select(list), nil
}

// Select returns the addresses that pass the filter, in the order of the
// interfaces, IPv4 and IPv6 alternating so that a bound leaves some of each.
func (f HostFilter) Select(list []Interface) []netip.Addr {
	var v4, v6 []netip.Addr
	for _, i := range list {
		if !i.Up || !f.interfaceAllowed(i) {
			continue
		}
		for _, addr := range i.Addrs {
			addr = addr.Unmap()
			if !f.Usable(addr) || slices.Contains(v4, addr) || slices.Contains(v6, addr) {
				continue
			}
			if addr.Is4() {
				v4 = append(v4, addr)
			} else {
				v6 = append(v6, addr)
			}
		}
	}
	var hosts []netip.Addr
	for i := range max(len(v4), len(v6)) {
		if i < len(v4) {
			hosts = append(hosts, v4[i])
		}
		if i < len(v6) {
			hosts = append(hosts, v6[i])
		}
	}
	return hosts[:min(len(hosts), maxHosts)]
}

// Usable tells whether an address may be a candidate, ours or a peer's.
func (f HostFilter) Usable(addr netip.Addr) bool {
	if addr.IsLoopback() {
		return f.IncludeLoopback
	}
	return addr.IsGlobalUnicast() // neither unspecified, link-local, multicast nor broadcast
}

func (f HostFilter) interfaceAllowed(i Interface) bool {
	if i.Loopback {
		return f.IncludeLoopback
	}
	for _, prefix := range foreign {
		if strings.HasPrefix(i.Name, prefix) {
			return false
		}
	}
	return f.Exclude == nil || !f.Exclude(i.Name)
}

// interfaces reads the machine's interfaces. One that vanishes meanwhile has no
// addresses.
func interfaces() ([]Interface, error) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	list := make([]Interface, 0, len(all))
	for _, i := range all {
		found := Interface{
			Name:     i.Name,
			Up:       i.Flags&net.FlagUp != 0,
			Loopback: i.Flags&net.FlagLoopback != 0,
		}
		addrs, err := i.Addrs()
		if err != nil {
			continue
		}
		for _, a := range addrs {
			if prefix, ok := a.(*net.IPNet); ok {
				if addr, ok := netip.AddrFromSlice(prefix.IP); ok {
					found.Addrs = append(found.Addrs, addr)
				}
			}
		}
		list = append(list, found)
	}
	return list, nil
}
