package testbed

import (
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
)

// The plan of addresses. N is the number of a site, 1…200.
const (
	gatewayAddr = "198.51.100.1" // of the servers' network; also the internet machine's own address
	xmppAddr    = "198.51.100.2"
	stunAddr    = "198.51.100.3"
	wanGateway  = "203.0.113.1" // of the routers' network
	deadAddr    = "198.51.100.129"
	mostSites   = 31 // networks of eight addresses in 192.0.2.0/24, the first unused
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

// plan is the addresses of one site.
type plan struct {
	wan  netip.Addr   // of the router, towards the internet
	lan  netip.Prefix // behind the router
	gate netip.Addr   // of the router, towards the site
	host netip.Addr   // of the site's machine
}

// planSite gives the addresses of site number n. A site without NAT has public ones; lan overrides
// the network of the others, so that two of them can have the same.
func planSite(n int, nat NAT, lan netip.Prefix) (plan, error) {
	if n > mostSites {
		return plan{}, fmt.Errorf("a lab has at most %d sites", mostSites)
	}
	p := plan{wan: netip.AddrFrom4([4]byte{203, 0, 113, byte(10 + n)})}
	switch {
	case nat == None && lan.IsValid():
		return plan{}, fmt.Errorf("a site without NAT has public addresses: leave LAN empty")
	case nat == None:
		p.lan = netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(8 * n)}), 29)
	case lan.IsValid():
		if !lan.Addr().Is4() || lan.Bits() > 30 || lan.Masked() != lan {
			return plan{}, fmt.Errorf("LAN %s: give an IPv4 network of at least four addresses", lan)
		}
		p.lan = lan
	default:
		p.lan = netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 168, byte(10 + n), 0}), 24)
	}
	p.gate = p.lan.Addr().Next()
	p.host = p.gate.Next()
	return p, nil
}
