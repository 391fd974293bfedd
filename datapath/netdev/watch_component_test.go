//go:build component

package netdev

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
)

// TestWatch changes what a machine is reached by, and what it is not.
func TestWatch(t *testing.T) {
	for _, name := range []string{"up0", "up1"} {
		if err := CreateVeth(name, name+"x", 1400, testMAC); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = Delete(name) })
		if err := netlink.LinkSetUp(link(t, name+"x")); err != nil {
			t.Fatal(err)
		}
	}
	hosts := func() ([]netip.Addr, error) {
		var list []netip.Addr
		for _, name := range []string{"up0", "up1"} {
			i, err := net.InterfaceByName(name)
			if err != nil {
				return nil, err
			}
			addrs, err := i.Addrs()
			if err != nil {
				return nil, err
			}
			for _, a := range addrs {
				if p := netip.MustParsePrefix(a.String()); p.Addr().Is4() {
					list = append(list, p.Addr())
				}
			}
		}
		return list, nil
	}
	ctx, cancel := context.WithCancel(t.Context())
	looked, changed := make(chan struct{}, 100), make(chan struct{}, 100)
	var watch sync.WaitGroup
	watch.Go(func() {
		Watch(ctx, func() ([]netip.Addr, error) {
			list, err := hosts()
			looked <- struct{}{}
			return list, err
		}, func() { changed <- struct{}{} }, func(err error) { t.Error(err) })
	})
	defer watch.Wait()
	defer cancel()
	await := func(what string, c <-chan struct{}) {
		t.Helper()
		select {
		case <-c:
		case <-time.After(5 * time.Second):
			t.Fatalf("%s: nothing", what)
		}
	}
	await("the first look", looked)
	change := func(what string, do func() error) {
		t.Helper()
		if err := do(); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		await(what, changed)
	}
	address := func(name, prefix string) (netlink.Link, *netlink.Addr) {
		a, err := netlink.ParseAddr(prefix)
		if err != nil {
			t.Fatal(err)
		}
		return link(t, name), a
	}
	change("an address", func() error { return netlink.AddrAdd(address("up0", "192.0.2.2/24")) })
	change("another", func() error { return netlink.AddrAdd(address("up1", "198.51.100.2/24")) })
	route := &netlink.Route{Gw: net.IPv4(192, 0, 2, 1)}
	change("a default route", func() error { return netlink.RouteAdd(route) })
	routes, err := defaultRoutes()
	if err != nil || len(routes) != 1 || !strings.Contains(routes[0], "192.0.2.1") {
		t.Errorf("%q, %v", routes, err)
	}
	route.Gw = net.IPv4(198, 51, 100, 1)
	change("another default route", func() error { return netlink.RouteReplace(route) })
	change("no address", func() error { return netlink.AddrDel(address("up0", "192.0.2.2/24")) })

	for len(looked) > 0 {
		<-looked
	}
	if err := CreateVeth("cont0", "cont1", 1400, testMAC); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = Delete("cont0") })
	if err := netlink.AddrAdd(address("cont0", "10.1.0.1/24")); err != nil {
		t.Fatal(err)
	}
	await("a look at what does not count", looked)
	change("all of an uplink", func() error { return netlink.LinkSetDown(link(t, "up1")) })
	if len(changed) > 0 {
		t.Error("what does not count is a change")
	}
}

// TestReceiveEnds with its context, and begins with an event for what was before.
func TestReceiveEnds(t *testing.T) {
	events := make(chan struct{}, 1)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- receive(ctx, events) }()
	<-events // subscribed
	cancel()
	if err := <-ended; err == nil {
		t.Error("it ended without a reason")
	}
	select {
	case <-events:
		t.Error("an event of nothing")
	default:
	}
}
