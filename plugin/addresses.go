package main

import (
	"context"
	"net/netip"

	"github.com/sirupsen/logrus"

	"evio/datapath/icemux"
	"evio/datapath/netdev"
	"evio/driver/network"
)

// watchAddresses tells sessions and accounts when this machine is reached by others
// than before, until the context ends. The addresses that count are those that may be
// candidates.
func (p *parts) watchAddresses(ctx context.Context, log *logrus.Entry) {
	filter := icemux.HostFilter{Exclude: network.OwnInterface}
	netdev.Watch(ctx,
		func() ([]netip.Addr, error) { return icemux.Hosts(filter) },
		func() {
			log.Info("addresses or default routes of this machine have changed: looking for paths anew")
			p.transport.AddressesChanged()
			for _, a := range p.accounts {
				a.client.Reconnect()
			}
		},
		func(err error) { log.WithError(err).Warn("changes of addresses are not noticed, trying again") })
}
