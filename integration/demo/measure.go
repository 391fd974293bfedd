package main

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"evio/integration/scenario"
)

// path returns how a site's records travel to another site, which must be directly.
func (d *demo) path(ctx context.Context, from, to *scenario.Site) (string, error) {
	n, err := from.NetworkStatus(ctx, network)
	if err != nil {
		return "", err
	}
	for _, s := range n.Sessions {
		if s.JID != to.Account.JID {
			continue
		}
		remote, err := netip.ParseAddrPort(s.Path.Remote)
		if err != nil {
			return "", fmt.Errorf("session of %s with %s: %w", from.Name(), to.Name(), err)
		}
		if remote.Addr().Unmap() != to.Router.WAN() {
			return "", fmt.Errorf("the path from %s to %s goes to %s and not to that site's NAT, %s", from.Name(), to.Name(), remote, to.Router.WAN())
		}
		return fmt.Sprintf("%s (%s) → %s (%s)", s.Path.Local, s.Path.LocalType, s.Path.Remote, s.Path.RemoteType), nil
	}
	return "", fmt.Errorf("%s has no session with %s", from.Name(), to.Name())
}

func (d *demo) measure(ctx context.Context) error {
	d.Say(`Between containers, by ping and by two seconds of iperf3 (TCP). All three
sites share the processors of this machine.`)
	var rows [][]string
	for i, from := range d.evio.Sites {
		for j := i + 1; j < len(d.evio.Sites); j++ {
			to := d.evio.Sites[j]
			row, err := d.measurePair(ctx, from, to, services[i].name, services[j].name, services[j].address)
			if err != nil {
				return err
			}
			rows = append(rows, row)
		}
	}
	d.print("\n")
	d.Table([]string{"pair", "path, as the first sees it", "round trip", "throughput"}, rows)
	return nil
}

func (d *demo) measurePair(ctx context.Context, from, to *scenario.Site, source, sink, address string) ([]string, error) {
	path, err := d.path(ctx, from, to)
	if err != nil {
		return nil, err
	}
	row := []string{from.Name() + " – " + to.Name(), path}
	return row, d.Task(source+" to "+sink, func() error {
		trip, err := from.RoundTrip(ctx, source, address, 5)
		if err != nil {
			return err
		}
		if _, err := to.Exec(ctx, sink, "iperf3", "--server", "--daemon", "--one-off"); err != nil {
			return err
		}
		rate, err := from.Throughput(ctx, source, address, 2)
		if err != nil {
			return err
		}
		row = append(row, fmt.Sprintf("%.2f ms", float64(trip)/float64(time.Millisecond)), fmt.Sprintf("%.0f Mb/s", rate/1e6))
		return nil
	})
}
