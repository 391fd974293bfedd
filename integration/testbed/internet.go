package testbed

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
)

// Internet is the machine between the sites: a bridge to which their routers connect, called wan,
// and the servers.
type Internet struct {
	*Machine
	XMPP  *XMPP
	TURN  *TURN // long-term credentials; also the STUN server
	TURN2 *TURN // credentials of a shared secret
}

// newInternet starts the machine with its servers.
func newInternet(ctx context.Context, l *Lab, kind XMPPKind) (*Internet, error) {
	m, err := newMachine(ctx, l, "internet", "")
	if err != nil {
		return nil, err
	}
	i := &Internet{Machine: m}
	// Packets to addresses that nobody has go to a neighbour that does not exist and vanish there,
	// as in the real internet: an unreachable error would end sessions of the TURN server, and
	// frames to it must not be flooded to the sites.
	script := []string{"ip link add wan type bridge forward_delay 0 mcast_snooping 0"}
	for _, a := range []string{
		gatewayAddr + "/25", xmppAddr + "/25", stunAddr + "/25", turn2Addr + "/25", wanGateway + "/24",
		gatewayAddr6 + "/64", xmppAddr6 + "/64", stunAddr6 + "/64", turn2Addr6 + "/64", wanGateway6 + "/64",
	} {
		script = append(script, address(netip.MustParsePrefix(a), "wan"))
	}
	if _, err := m.Script(ctx, strings.Join(script, "\n")+fmt.Sprintf(`
ip link add dead type veth peer name deadend
ip address add 198.51.100.130/25 dev dead
ip address add 2001:db8:dead::130/64 dev dead nodad
ip link set dead up
ip link set deadend up
for dead in %s %s; do
  ip neighbour add $dead lladdr 02:00:00:00:00:01 dev dead nud permanent
  ip route add default via $dead
done
echo 1 >/proc/sys/net/ipv4/ip_forward
echo 1 >/proc/sys/net/ipv6/conf/all/forwarding
echo 0 >/proc/sys/net/ipv4/conf/all/send_redirects
echo 0 >/proc/sys/net/ipv4/conf/wan/send_redirects`, deadAddr, deadAddr6)); err != nil {
		return nil, err
	}
	if err := writeHosts(ctx, m, false); err != nil {
		return nil, err
	}
	servers, ctx := errgroup.WithContext(ctx)
	servers.Go(func() (err error) { i.XMPP, err = newXMPP(ctx, m, l.ca, kind); return err })
	servers.Go(func() (err error) { i.TURN, err = newTURN(ctx, m, l.ca); return err })
	servers.Go(func() (err error) { i.TURN2, err = newTURN2(ctx, m); return err })
	return i, servers.Wait()
}

// CA is the certificate, as PEM, of the authority that signed the servers'.
func (i *Internet) CA() []byte { return slices.Clone(i.lab.ca.pem) }

// writeHosts gives a machine the servers' names, as addresses of one family, and a name server that
// refuses at once instead of letting each unknown name wait for a time-out.
func writeHosts(ctx context.Context, m *Machine, ipv6 bool) error {
	xmpp, stun, turn2, gateway := xmppAddr, stunAddr, turn2Addr, gatewayAddr
	if ipv6 {
		xmpp, stun, turn2, gateway = xmppAddr6, stunAddr6, turn2Addr6, gatewayAddr6
	}
	hosts := fmt.Sprintf("127.0.0.1 localhost\n::1 localhost\n127.0.1.1 %s\n%s %s\n%s %s %s\n%s %s\n%s %s\n",
		m.name, xmpp, XMPPDomain, stun, STUNName, TURNName, turn2, TURN2Name, gateway, registryName)
	if err := m.WriteFile(ctx, "/etc/hosts", []byte(hosts), 0o644); err != nil {
		return err
	}
	return m.WriteFile(ctx, "/etc/resolv.conf", []byte("nameserver "+gateway+"\noptions attempts:1 timeout:1\n"), 0o644)
}
