package scenario

import (
	"context"
	"fmt"
	"net/netip"

	"evio/integration/testbed"
)

// Overlay is a network of sites whose evio runs without an engine, each with one
// namespace of the overlay's name instead of containers.
type Overlay struct {
	Name  string
	Net   int    // second byte of the subnet 10.NET.0.0/16, and of fd00:NET::/64
	Guard string // option evio.guard; empty: not given
}

func (o Overlay) subnets() []netip.Prefix {
	return []netip.Prefix{
		netip.MustParsePrefix(fmt.Sprintf("10.%d.0.0/16", o.Net)),
		netip.MustParsePrefix(fmt.Sprintf("fd00:%d::/64", o.Net)),
	}
}

// Addresses are those of a site's namespace, IPv4 and IPv6.
func (o Overlay) Addresses(s *Site) []netip.Addr {
	return []netip.Addr{
		netip.AddrFrom4([4]byte{10, byte(o.Net), byte(s.number), 1}),
		netip.MustParseAddr(fmt.Sprintf("fd00:%d::%d:1", o.Net, s.number)),
	}
}

// Join makes the overlay's network at the site and attaches the namespace.
func (s *Site) Join(ctx context.Context, o Overlay) error {
	subnets := o.subnets()
	n := testbed.EvioNetwork{Name: o.Name, Subnets: subnets}
	if o.Guard != "" {
		n.Options = map[string]string{"evio.guard": o.Guard}
	}
	if err := s.CreateEvioNetwork(ctx, n); err != nil {
		return err
	}
	var addrs []netip.Prefix
	for i, a := range o.Addresses(s) {
		addrs = append(addrs, netip.PrefixFrom(a, subnets[i].Bits()))
	}
	return s.Attach(ctx, o.Name, o.Name, addrs...)
}

// Quit undoes Join.
func (s *Site) Quit(ctx context.Context, o Overlay) error {
	if err := s.Detach(ctx, o.Name, o.Name); err != nil {
		return err
	}
	return s.RemoveEvioNetwork(ctx, o.Name)
}
