//go:build e2e

package hostile

import (
	"fmt"
	"net"
	"net/netip"
	"testing"

	"evio/integration/scenario"
)

// open is the overlay in which everything is tried; b is not a member of closed.
var (
	open   = scenario.Overlay{Name: "open", Net: 40}
	closed = scenario.Overlay{Name: "closed", Net: 41}
)

// host is an address on the overlay, with the MAC address behind it.
type host struct {
	mac    net.HardwareAddr
	v4, v6 netip.Addr
}

// hostAt is the namespace of a site.
func hostAt(t *testing.T, s *scenario.Site, o scenario.Overlay) host {
	t.Helper()
	mac, err := net.ParseMAC(scenario.OverlayAt(t, s, o.Name).Endpoints[0].MAC)
	if err != nil {
		t.Fatal(err)
	}
	a := o.Addresses(s)
	return host{mac, a[0], a[1]}
}

// malloryHost is what the hostile member rightly claims.
func malloryHost(o scenario.Overlay) host {
	return host{
		net.HardwareAddr{6, 0x66, 0, 0, 0, 1},
		netip.MustParseAddr(fmt.Sprintf("10.%d.9.1", o.Net)), netip.MustParseAddr(fmt.Sprintf("fd00:%d::9:1", o.Net)),
	}
}

// sent is an order to a hostile-member: what it sends.
type sent struct {
	To     string   `json:"to"`
	Frames []string `json:"frames"`
	Times  int      `json:"times,omitempty"`
	Every  int      `json:"every,omitempty"`
	Origin string   `json:"origin,omitempty"`
	Stolen bool     `json:"stolen,omitempty"`
	Again  bool     `json:"again,omitempty"`

	Unfinished bool `json:"unfinished,omitempty"`
}
