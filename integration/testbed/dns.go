package testbed

import (
	"context"
	"slices"
	"time"
)

// DNS is a name server (dnsmasq) at the address that the resolv.conf of every machine names. Most
// tests have none: the names that they need stand in the hosts files.
type DNS struct{ process *Process }

// DNSAddress is where the name server answers while there is one.
const DNSAddress = gatewayAddr

// StartDNS starts the name server with records as dnsmasq's configuration has them, such as
// "srv-host=_service._tcp.example,target.example,443". It knows nothing else.
func (i *Internet) StartDNS(ctx context.Context, records ...string) (*DNS, error) {
	args := []string{
		"dnsmasq", "--keep-in-foreground", "--log-facility=-", "--log-queries", "--conf-file=/dev/null", "--user=root", "--pid-file",
		"--no-resolv", "--no-hosts", "--local=/example/", "--bind-interfaces", "--listen-address=" + DNSAddress,
	}
	for _, r := range records {
		args = append(args, "--"+r)
	}
	p, err := i.Start(ctx, "dns", args...)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return &DNS{p}, p.await(ctx, func() error {
		_, err := i.Run(ctx, "probe", "tcp-check", DNSAddress+":53")
		return err
	})
}

// Stop ends the name server: questions are refused from then on.
func (d *DNS) Stop(ctx context.Context) error { return d.process.Stop(ctx, "TERM") }

// XMPPRecord gives a name the addresses of the XMPP server.
func XMPPRecord(name string) string { return "host-record=" + name + "," + xmppAddr + "," + xmppAddr6 }

// ServerRecords give every server the addresses that the hosts files give it.
func ServerRecords() []string {
	return slices.Concat([]string{XMPPRecord(XMPPDomain)}, []string{
		"host-record=" + STUNName + "," + TURNName + "," + stunAddr + "," + stunAddr6,
		"host-record=" + TURN2Name + "," + turn2Addr + "," + turn2Addr6,
	})
}
