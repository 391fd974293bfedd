package testbed

import (
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
)

// The plan of addresses. N is the number of a site, 1…31.
const (
	gatewayAddr  = "198.51.100.1" // of the servers' network; also the internet machine's own address
	xmppAddr     = "198.51.100.2"
	stunAddr     = "198.51.100.3"
	turn2Addr    = "198.51.100.4"
	gatewayAddr6 = "2001:db8:100::1"
	xmppAddr6    = "2001:db8:100::2"
	stunAddr6    = "2001:db8:100::3"
	turn2Addr6   = "2001:db8:100::4"
	wanGateway   = "203.0.113.1" // of the routers' network
	wanGateway6  = "2001:db8:113::1"
	deadAddr     = "198.51.100.129"
	deadAddr6    = "2001:db8:dead::129"
	mostSites    = 31 // networks of eight addresses in 192.0.2.0/24, the first unused
	mostUplinks  = 2
)

// connect makes a veth pair directly between two machines: it is never seen in the host's network.
func connect(a *Machine, aName string, b *Machine, bName string) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = aName
	attrs.Namespace = netlink.NsPid(a.pid)
	veth := &netlink.Veth{LinkAttrs: attrs, PeerName: bName, PeerNamespace: netlink.NsPid(b.pid)}
	if err := netlink.LinkAdd(veth); err != nil {
		return fmt.Errorf("connect %s:%s to %s:%s: %w", a.name, aName, b.name, bName, err)
	}
	return nil
}

// segment is the network between a router and the one machine behind it.
type segment struct {
	prefix netip.Prefix
	gate   netip.Addr // of the router
	host   netip.Addr // of the machine
}

func segmentOf(prefix netip.Prefix) segment {
	gate := prefix.Addr().Next()
	return segment{prefix, gate, gate.Next()}
}

// uplink is the addresses of one way of a site to the internet.
type uplink struct {
	wan     netip.Prefix // the outermost router's address, and the length of its network
	gateway netip.Addr   // of that network
	carrier segment      // between the carrier's router and the site's, for DoubleNAT
	lan     segment
}

// planSite gives the addresses of site number n, one uplink after the other. lan overrides the
// network of the first, so that two sites can have the same.
func planSite(n int, c *SiteConfig) ([]uplink, error) {
	switch {
	case n > mostSites:
		return nil, fmt.Errorf("a lab has at most %d sites", mostSites)
	case c.Uplinks < 0 || c.Uplinks > mostUplinks:
		return nil, fmt.Errorf("%d uplinks: give 1 or %d", c.Uplinks, mostUplinks)
	case c.NAT.routed() && c.LAN.IsValid():
		return nil, fmt.Errorf("a site without NAT has public addresses: leave LAN empty")
	case (c.NAT.routed() || c.NAT == DoubleNAT) && c.Uplinks > 1:
		return nil, fmt.Errorf("NAT %s: only a site behind one NAT can have a second uplink", c.NAT)
	}
	plan := make([]uplink, max(c.Uplinks, 1))
	for i := range plan {
		plan[i] = planUplink(n, i, c.NAT)
	}
	if c.LAN.IsValid() {
		if !c.LAN.Addr().Is4() || c.LAN.Bits() > 30 || c.LAN.Masked() != c.LAN {
			return nil, fmt.Errorf("LAN %s: give an IPv4 network of at least four addresses", c.LAN)
		}
		plan[0].lan = segmentOf(c.LAN)
	}
	return plan, nil
}

// planUplink gives uplink i, 0 or 1, of site number n its own addresses.
func planUplink(n, i int, nat NAT) uplink {
	u := uplink{
		wan:     wanPrefix(10 + n + 40*i),
		gateway: netip.MustParseAddr(wanGateway),
		carrier: segmentOf(netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 64, byte(n), 0}), 24)),
		lan:     segmentOf(netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 168, byte(10 + n + 100*i), 0}), 24)),
	}
	switch nat {
	case None:
		u.lan = segmentOf(netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(8 * n)}), 29))
	case IPv6Only:
		u.wan = netip.MustParsePrefix(fmt.Sprintf("2001:db8:113::%x/64", 10+n))
		u.gateway = netip.MustParseAddr(wanGateway6)
		u.lan = segmentOf(netip.MustParsePrefix(fmt.Sprintf("2001:db8:1:%x::/64", n)))
	default:
	}
	return u
}

// wanPrefix is an address of the routers' network.
func wanPrefix(last int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{203, 0, 113, byte(last)}), 24)
}
