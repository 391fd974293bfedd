package main

import (
	"context"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"evio/integration/scenario"
	"evio/integration/testbed"
)

// capture is a recording and where it is made.
type capture struct {
	where  string
	inside bool // in a container, where the page must be readable
	*testbed.Capture
}

// capture starts to record the sites' links to the internet.
func (d *demo) capture(ctx context.Context) error {
	for _, s := range d.evio.Sites {
		c, err := s.Router.Capture(ctx, "wan", "")
		if err != nil {
			return err
		}
		d.captures = append(d.captures, capture{where: s.Name() + ", link to the internet", Capture: c})
	}
	return nil
}

// captureClient starts to record what the client sees, to compare.
func (d *demo) captureClient(ctx context.Context) error {
	c, err := d.evio.Sites[2].CaptureContainer(ctx, "client", "eth0", "")
	if err != nil {
		return err
	}
	d.captures = append(d.captures, capture{where: "inside of the client container", inside: true, Capture: c})
	return nil
}

// showTraffic ends the recordings and tells what is in them.
func (d *demo) showTraffic(ctx context.Context) error {
	d.Say(fmt.Sprintf(`Packets recorded since before the network was made. Records carry the frames of containers,
encrypted from site to site; XMPP, inside TLS, has introduced the sites to each other. The last
column counts packets in which %q can be read.`, page))
	xmpp, err := d.serverAddress(ctx)
	if err != nil {
		return err
	}
	var rows [][]string
	for _, c := range d.captures {
		file, err := c.Stop(ctx)
		if err != nil {
			return err
		}
		t, err := scenario.ReadTraffic(file, xmpp, []byte(page))
		if err != nil {
			return err
		}
		if err := c.check(t); err != nil {
			return err
		}
		row := []string{c.where, "", "", "", "", "", strconv.Itoa(t.Marked)}
		if !c.inside {
			for i, n := range []int{t.STUN, t.Handshake, t.Record, t.XMPP, t.Other} {
				row[i+1] = strconv.Itoa(n)
			}
		}
		rows = append(rows, row)
	}
	d.Table([]string{"recorded at", "STUN", "handshake", "record", "XMPP", "other", "readable"}, rows)
	return nil
}

// check compares a recording with what may be there.
func (c capture) check(t scenario.Traffic) error {
	switch {
	case c.inside && t.Marked == 0:
		return fmt.Errorf("%s: the page is not in the recording, which should have it", c.where)
	case c.inside:
		return nil
	case t.Marked > 0:
		return fmt.Errorf("%s: the page can be read in %d packets", c.where, t.Marked)
	case t.Other > 0:
		return fmt.Errorf("%s: %d packets that evio should not send, the first: %s", c.where, t.Other, t.FirstOther)
	case t.STUN == 0 || t.Handshake == 0 || t.Record == 0:
		return fmt.Errorf("%s: the recording lacks what evio sends: %+v", c.where, t)
	}
	return nil
}

// serverAddress looks the XMPP server up as a site does.
func (d *demo) serverAddress(ctx context.Context) (netip.AddrPort, error) {
	host, port, _ := strings.Cut(d.lab.Internet().XMPP.StartTLSAddress(), ":")
	out, err := d.evio.Sites[0].Run(ctx, "getent", "ahostsv4", host)
	if err != nil {
		return netip.AddrPort{}, err
	}
	address, _, _ := strings.Cut(out, " ")
	return netip.ParseAddrPort(address + ":" + port)
}
