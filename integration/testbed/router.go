package testbed

import (
	"context"
	"fmt"
	"net/netip"
)

// routerSuffix follows the site's name in its router's.
const routerSuffix = "-router"

// Router is a site's way to the internet. Its interfaces are called wan and lan.
type Router struct {
	*Machine
	nat NAT
	wan netip.Addr
}

// NAT is the router's kind.
func (r *Router) NAT() NAT { return r.nat }

// WAN is its address in the internet; behind a NAT also the one that others see of its site.
func (r *Router) WAN() netip.Addr { return r.wan }

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
	_, err := r.Script(ctx, "ip link set wan up; ip route replace default via "+wanGateway)
	return err
}

// newRouter starts a router between the internet and a site's machine.
func newRouter(ctx context.Context, l *Lab, number int, nat NAT, p plan, host *Machine) (*Router, error) {
	rules, err := nat.rules()
	if err != nil {
		return nil, err
	}
	m, err := newMachine(ctx, l, host.name+routerSuffix)
	if err != nil {
		return nil, err
	}
	port := fmt.Sprintf("site%d", number)
	if err := connect(m, "wan", l.internet.Machine, port); err != nil {
		return nil, err
	}
	if err := connect(m, "lan", host, "eth0"); err != nil {
		return nil, err
	}
	if _, err := m.Script(ctx, fmt.Sprintf(`
ip address add %s/24 dev wan
ip address add %s/%d dev lan
ip link set wan up
ip link set lan up
ip route add default via %s
%s
echo 1 >/proc/sys/net/ipv4/ip_forward`,
		p.wan, p.gate, p.lan.Bits(), wanGateway, rules)); err != nil {
		return nil, err
	}
	if _, err := host.Script(ctx, fmt.Sprintf(`
ip address add %s/%d dev eth0
ip link set eth0 up
ip route add default via %s`, p.host, p.lan.Bits(), p.gate)); err != nil {
		return nil, err
	}
	join := fmt.Sprintf("ip link set %s master wan up", port)
	if nat == None {
		join += fmt.Sprintf("\nip route add %s via %s", p.lan, p.wan)
	}
	if _, err := l.internet.Script(ctx, join); err != nil {
		return nil, err
	}
	return &Router{Machine: m, nat: nat, wan: p.wan}, nil
}
