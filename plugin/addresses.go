package main

import (
	"context"
	"net/netip"
	"time"

	"github.com/sirupsen/logrus"

	"evio/datapath/icemux"
	"evio/datapath/netdev"
	"evio/driver/network/device"
	"evio/wall"
)

// watchAddresses tells sessions and accounts when this machine is reached by others
// than before, until the context ends. The addresses that count are those that may be
// candidates.
func (p *parts) watchAddresses(ctx context.Context, log *logrus.Entry) {
	filter := icemux.HostFilter{Exclude: device.OwnInterface}
	netdev.Watch(ctx,
		func() ([]netip.Addr, error) { return icemux.Hosts(filter) },
		func() {
			log.Info("addresses or default routes of this machine have changed: looking for new paths")
			p.transport.AddressesChanged()
			for _, a := range p.accounts {
				a.client.Reconnect()
			}
		},
		func(err error) { log.WithError(err).Warn("this machine's addresses cannot be watched, trying again") })
}

// watchClock has connections that wait tried at once when the clock was set: certificates
// are judged by it.
func (p *parts) watchClock(ctx context.Context, log *logrus.Entry) {
	wall.Watch(ctx, nil, func(by time.Duration) {
		log.Infof("the clock was set by %v: looking up servers again", by.Round(time.Millisecond))
		for _, a := range p.accounts {
			a.client.ClockSet()
		}
	})
}

// watchNames has servers looked for anew when the host resolves their names in another
// way than before, until the context ends. Accounts that are connected stay so.
func (p *parts) watchNames(ctx context.Context, log *logrus.Entry) {
	p.resolver.Watch(ctx, func() {
		log.Info("resolv.conf or the hosts file of the host has changed: looking up servers again")
		p.transport.AddressesChanged()
		for _, a := range p.accounts {
			a.client.NamesChanged()
		}
	})
}
