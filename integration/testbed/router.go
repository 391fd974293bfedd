package testbed

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
)

// The site's name with one of these is its router's: the one it has, the second uplink's, the
// carrier's.
const (
	routerSuffix  = "-router"
	router2Suffix = "-router2"
	carrierSuffix = "-carrier"
)

// Router is a site's way to the internet. Its interfaces are called wan and lan.
type Router struct {
	*Machine
	nat     NAT
	lan     segment
	gateway netip.Addr

	mu            sync.Mutex // one change at a time
	wan           netip.Prefix
	remap         []string // rules of RemapPorts
	remaps, drops int      // so far
}

// NAT is the router's kind.
func (r *Router) NAT() NAT { return r.nat }

// WAN is its address in the internet.
func (r *Router) WAN() netip.Addr {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.wan.Addr()
}

// Outside is the address that others see of what is behind the router.
func (r *Router) Outside() netip.Addr {
	if r.nat.routed() {
		return r.lan.host
	}
	return r.WAN()
}

// newRouter starts a router that has the internet on its wan, and nothing on its lan yet. port is
// what the internet's end of the wire is called.
func newRouter(ctx context.Context, l *Lab, name, port string, nat NAT, u *uplink) (*Router, error) {
	m, err := newMachine(ctx, l, name, "")
	if err != nil {
		return nil, err
	}
	r := &Router{Machine: m, nat: nat, wan: u.wan, gateway: u.gateway}
	if err := connect(m, "wan", l.internet.Machine, port); err != nil {
		return nil, err
	}
	if _, err := m.Script(ctx, address(u.wan, "wan")+"\n"+route(u.gateway, "wan", 0)); err != nil {
		return nil, err
	}
	_, err = l.internet.Script(ctx, "ip link set "+port+" master wan up")
	return r, err
}

// serve connects the lan to the interface of a machine whose way to the internet it becomes, with a
// metric for the route if there are several.
func (r *Router) serve(ctx context.Context, m *Machine, iface string, lan segment, metric int) error {
	r.lan = lan
	rules, err := r.nat.rules()
	if err != nil {
		return err
	}
	if err := connect(r.Machine, "lan", m, iface); err != nil {
		return err
	}
	bits := lan.prefix.Bits()
	if _, err := r.Script(ctx, address(netip.PrefixFrom(lan.gate, bits), "lan")+rules+`
echo 1 >/proc/sys/net/ipv4/ip_forward
echo 1 >/proc/sys/net/ipv6/conf/all/forwarding`); err != nil {
		return err
	}
	if _, err := m.Script(ctx, address(netip.PrefixFrom(lan.host, bits), iface)+"\n"+route(lan.gate, iface, metric)); err != nil {
		return err
	}
	if r.nat.routed() {
		_, err = r.lab.internet.Run(ctx, "ip", "route", "add", lan.prefix.String(), "via", r.wan.Addr().String())
	}
	return err
}

// address is the command that gives an interface an address and sets it up.
func address(p netip.Prefix, iface string) string {
	return fmt.Sprintf("ip address add %s dev %s%s\nip link set %s up", p, iface, nodad(p), iface)
}

// nodad has an IPv6 address usable at once.
func nodad(p netip.Prefix) string {
	if p.Addr().Is6() {
		return " nodad"
	}
	return ""
}

// route is the command that makes a neighbour the way to everywhere.
func route(via netip.Addr, iface string, metric int) string {
	s := fmt.Sprintf("ip route replace default via %s dev %s", via, iface)
	if metric > 0 {
		s += fmt.Sprintf(" metric %d", metric)
	}
	return s
}

// FlushConntrack forgets all mappings, as a restart of the router does.
func (r *Router) FlushConntrack(ctx context.Context) error {
	_, err := r.Run(ctx, "conntrack", "-F")
	return err
}

// Unplug takes the cable out of the WAN port: everything is lost, nothing is refused.
func (r *Router) Unplug(ctx context.Context) error {
	_, err := r.Run(ctx, "ip", "link", "set", "wan", "down")
	return err
}

// Plug puts it back.
func (r *Router) Plug(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, err := r.Script(ctx, r.plug())
	return err
}

// plug sets the WAN up: IPv6 addresses and routes went with the link.
func (r *Router) plug() string {
	return fmt.Sprintf("ip link set wan up\nip address replace %s dev wan%s\n%s", r.wan, nodad(r.wan), route(r.gateway, "wan", 0))
}

// Renumber gives the WAN another address, as providers do at night: all mappings are gone, and what
// is sent to the old address is lost.
func (r *Router) Renumber(ctx context.Context) error {
	if r.nat.routed() {
		return fmt.Errorf("%s: nothing hides behind its address: only a NAT can be renumbered", r.name)
	}
	next, err := r.lab.nextWAN()
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	old := r.wan
	r.wan = next
	_, err = r.Script(ctx, fmt.Sprintf("ip address delete %s dev wan\n%s\nconntrack -F", old, r.plug()))
	return err
}

// nextWAN is an address of the routers' network that no router has had yet.
func (l *Lab) nextWAN() (netip.Prefix, error) {
	const first, last = 101, 254
	l.mu.Lock()
	defer l.mu.Unlock()
	if first+l.renumbered > last {
		return netip.Prefix{}, errors.New("no address is left for another router")
	}
	l.renumbered++
	return wanPrefix(first + l.renumbered - 1), nil
}

// RemapPorts makes the NAT forget all mappings and give every host's UDP port another one outside,
// other than those before, as after a restart of a router that does not keep ports. The ports named
// keep one mapping for all destinations, which MASQUERADE does not promise for a range.
func (r *Router) RemapPorts(ctx context.Context, ports ...uint16) error {
	if r.nat.routed() {
		return fmt.Errorf("%s: it has no mappings: only a NAT can change ports", r.name)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	const first, step, times = 20000, 2000, 20
	base := first + step*(r.remaps%times)
	r.remaps++
	var script []string
	for _, rule := range r.remap {
		script = append(script, "iptables -t nat -D "+rule)
	}
	r.remap = []string{fmt.Sprintf("POSTROUTING -o wan -p udp -j MASQUERADE --to-ports %d-%d", base+len(ports), base+step-1)}
	for i, port := range ports {
		r.remap = append(r.remap, fmt.Sprintf("POSTROUTING -o wan -p udp --sport %d -j MASQUERADE --to-ports %d", port, base+i))
	}
	for _, rule := range r.remap {
		script = append(script, "iptables -t nat -I "+rule)
	}
	_, err := r.Script(ctx, strings.Join(append(script, "conntrack -F"), "\n"))
	return err
}
