package netdev

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

const (
	// settle is how long Watch waits after an event for those that come with it.
	settle = 200 * time.Millisecond
	// subscribeRetry is how long Watch waits after its socket failed.
	subscribeRetry = time.Second
)

// watchedGroups are the kernel's events that Watch looks at.
var watchedGroups = []uint{
	unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE,
}

// Watch calls changed when the addresses that hosts returns, in whatever order, or
// the default routes have become others, until the context ends. What comes within
// 200 ms is one change. Whether there is one is decided by what there is, not by the
// kernel's events, so that what hosts leaves out (containers, bridges) is none.
// failed gets the error of a subscription that ended; the subscription is made again.
// The two functions are never called at the same time.
func Watch(ctx context.Context, hosts func() ([]netip.Addr, error), changed func(), failed func(error)) {
	events := make(chan struct{}, 1)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		follow(ctx, events, func() (string, error) { return reach(hosts) }, changed)
	}()
	for ctx.Err() == nil {
		if err := receive(ctx, events); ctx.Err() == nil {
			failed(err)
			select {
			case <-ctx.Done():
			case <-time.After(subscribeRetry):
			}
		}
	}
	<-ended
}

// follow looks after each event whether there is something new; the first look is
// what the next is compared with. What cannot be looked at is looked at again.
func follow(ctx context.Context, events chan struct{}, look func() (string, error), changed func()) {
	var last string
	known := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-events:
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(settle):
		}
		select {
		case <-events: // it came while the others settled
		default:
		}
		now, err := look()
		if err != nil {
			signal(events)
			continue
		}
		if known && now != last {
			changed()
		}
		last, known = now, true
	}
}

func signal(events chan<- struct{}) {
	select {
	case events <- struct{}{}:
	default: // it is known that there is something to look at
	}
}

// receive signals the kernel's events, and one for what there was before, until its
// socket fails or the context ends.
func receive(ctx context.Context, events chan<- struct{}) error {
	s, err := nl.Subscribe(unix.NETLINK_ROUTE, watchedGroups...)
	if err != nil {
		return fmt.Errorf("subscribe to changes of addresses: %w", err)
	}
	stop := context.AfterFunc(ctx, s.Close)
	defer func() {
		if stop() {
			s.Close()
		}
	}()
	signal(events)
	for {
		// Lost events are events as well.
		if _, _, err := s.Receive(); err != nil && !errors.Is(err, unix.ENOBUFS) {
			return fmt.Errorf("receive changes of addresses: %w", err)
		}
		signal(events)
	}
}

// reach spells what Watch compares.
func reach(hosts func() ([]netip.Addr, error)) (string, error) {
	addrs, err := hosts()
	if err != nil {
		return "", err
	}
	lines, err := defaultRoutes()
	for _, a := range addrs {
		lines = append(lines, a.String())
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n"), err
}

// defaultRoutes spells the default routes of the main table.
func defaultRoutes() ([]string, error) {
	var lines []string
	err := with("list default routes", func(h *netlink.Handle) error {
		return h.RouteListFilteredIter(netlink.FAMILY_ALL, &netlink.Route{}, 0, func(r netlink.Route) bool {
			if r.Dst == nil || isAll(r) {
				lines = append(lines, fmt.Sprintf("default %d %d %s %s %d %d %v", r.Type, r.LinkIndex, r.Gw, r.Src, r.Priority, r.Flags, r.MultiPath))
			}
			return true
		})
	})
	return lines, err
}

func isAll(r netlink.Route) bool {
	ones, _ := r.Dst.Mask.Size()
	return ones == 0
}
