package testbed

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"
)

// Internet is the machine between the sites: a bridge to which their routers connect, called wan,
// and the servers.
type Internet struct {
	*Machine
	XMPP *XMPP
	TURN *TURN
}

// newInternet starts the machine with both servers.
func newInternet(ctx context.Context, l *Lab) (*Internet, error) {
	m, err := newMachine(ctx, l, "internet")
	if err != nil {
		return nil, err
	}
	i := &Internet{Machine: m}
	// Packets to addresses that nobody has go to a neighbour that does not exist and vanish there,
	// as in the real internet: an unreachable error would end sessions of the TURN server, and
	// frames to it must not be flooded to the sites.
	if _, err := m.Script(ctx, fmt.Sprintf(`
ip link add wan type bridge forward_delay 0 mcast_snooping 0
ip address add %s/25 dev wan
ip address add %s/25 dev wan
ip address add %s/25 dev wan
ip address add %s/24 dev wan
ip link set wan up
ip link add dead type veth peer name deadend
ip address add 198.51.100.130/25 dev dead
ip link set dead up
ip link set deadend up
ip neighbour add %s lladdr 02:00:00:00:00:01 dev dead nud permanent
ip route add default via %s
echo 1 >/proc/sys/net/ipv4/ip_forward
echo 0 >/proc/sys/net/ipv4/conf/all/send_redirects
echo 0 >/proc/sys/net/ipv4/conf/wan/send_redirects`,
		gatewayAddr, xmppAddr, stunAddr, wanGateway, deadAddr, deadAddr)); err != nil {
		return nil, err
	}
	if err := writeHosts(ctx, m); err != nil {
		return nil, err
	}
	servers, ctx := errgroup.WithContext(ctx)
	servers.Go(func() (err error) { i.XMPP, err = newXMPP(ctx, m); return err })
	servers.Go(func() (err error) { i.TURN, err = newTURN(ctx, m); return err })
	return i, servers.Wait()
}

// writeHosts gives a machine the servers' names, and a name server that refuses at once instead of
// letting each unknown name wait for a time-out.
func writeHosts(ctx context.Context, m *Machine) error {
	hosts := fmt.Sprintf("127.0.0.1 localhost\n::1 localhost\n127.0.1.1 %s\n%s %s\n%s %s %s\n",
		m.name, xmppAddr, XMPPDomain, stunAddr, STUNName, TURNName)
	if err := m.WriteFile(ctx, "/etc/hosts", []byte(hosts), 0o644); err != nil {
		return err
	}
	return m.WriteFile(ctx, "/etc/resolv.conf", []byte("nameserver "+gatewayAddr+"\noptions attempts:1 timeout:1\n"), 0o644)
}
