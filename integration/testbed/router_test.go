//go:build e2e

package testbed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"
)

// TestRouters: what happens to routers while a site uses them.
func TestRouters(t *testing.T) {
	ctx := within(t, time.Minute)
	lab := StartSites(t, Options{},
		SiteConfig{Name: "two", Uplinks: 2}, SiteConfig{Name: "open", NAT: None}, SiteConfig{Name: "open2", NAT: None})
	s, open, open2 := lab.Site("two"), lab.Site("open"), lab.Site("open2")
	own := []netip.Addr{s.Addr(), netip.MustParseAddr("192.168.111.2")}

	t.Run("two uplinks", func(t *testing.T) {
		for i, r := range s.Routers {
			if got, err := reflexive(ctx, s, own[i]); err != nil || got != r.WAN() {
				t.Errorf("eth%d is seen as %s, %v; want %s", i, got, err, r.WAN())
			}
		}
		check(t, s.Routers[0].Unplug(ctx))
		if _, err := reflexive(ctx, s, own[0]); err == nil {
			t.Error("unplugged, and yet connected")
		}
		if _, err := reflexive(ctx, s, own[1]); err != nil {
			t.Errorf("the second uplink went with the first: %v", err)
		}
		check(t, s.Routers[0].Plug(ctx))
		if _, err := reflexive(ctx, s, own[0]); err != nil {
			t.Error(err)
		}
	})
	t.Run("renumber", func(t *testing.T) {
		before := s.Router.WAN()
		check(t, s.Router.Renumber(ctx))
		if got, err := reflexive(ctx, s, own[0]); err != nil || got != s.Router.WAN() || got == before {
			t.Errorf("seen as %s, %v; want %s, which was %s", got, err, s.Router.WAN(), before)
		}
		if err := open.Router.Renumber(ctx); err == nil {
			t.Error("a router without NAT is renumbered")
		}
	})
	t.Run("remap", func(t *testing.T) {
		seen := map[netip.AddrPort]bool{{}: true}
		for _, at := range []*Site{open, open2} {
			seen[mapping(ctx, t, s, at)] = true
		}
		if !seen[netip.AddrPortFrom(s.Router.WAN(), 4000)] || len(seen) != 2 {
			t.Errorf("at first port 4000 is seen as %v", seen)
		}
		for range 2 {
			check(t, s.Router.RemapPorts(ctx, 4000))
			now := mapping(ctx, t, s, open)
			if seen[now] || now.Addr() != s.Router.WAN() {
				t.Errorf("port 4000 is seen as %s again", now)
			}
			seen[now] = true
			if other := mapping(ctx, t, s, open2); other != now {
				t.Errorf("port 4000 is seen as %s by one and as %s by another", now, other)
			}
		}
	})
	t.Run("drop", func(t *testing.T) {
		d := must(s.Router.DropBetween(ctx, open.Router))(t)
		if got := mapping(ctx, t, s, open); got.IsValid() {
			t.Errorf("%s came through", got)
		}
		const count = 7
		before, _, err := d.Packets(ctx)
		check(t, err)
		must(s.Run(ctx, "probe", "udp-send", "-to", open.Addr().String()+":9", "-count", fmt.Sprint(count), "-every", "1ms"))(t)
		after, in, err := d.Packets(ctx)
		if err != nil || after-before != count || in != 0 {
			t.Errorf("counted %d outwards and %d inwards, %v; want %d and none", after-before, in, err, count)
		}
		if got := mapping(ctx, t, s, open2); !got.IsValid() {
			t.Error("packets to others are dropped, too")
		}
		check(t, d.Undo(ctx))
		if got := mapping(ctx, t, s, open); !got.IsValid() {
			t.Error("packets are still dropped")
		}
		all := must(s.Router.DropUDP(ctx))(t)
		if _, err := reflexive(ctx, s, own[0]); err == nil {
			t.Error("UDP passes")
		}
		must(s.Run(ctx, "probe", "tcp-check", XMPPDomain+":5222"))(t)
		check(t, all.Undo(ctx))
	})
}

// mapping is what another site sees of UDP port 4000; nothing when nothing comes.
func mapping(ctx context.Context, t *testing.T, from, at *Site) netip.AddrPort {
	t.Helper()
	listen := must(at.Start(ctx, "mapping", "probe", "udp-recv", "-listen", ":4000", "-count", "1", "-for", "1s"))(t)
	poke := must(from.Start(ctx, "mapping", "probe", "udp-recv", "-listen", ":4000", "-for", "1s",
		"-poke", netip.AddrPortFrom(at.Addr(), 4000).String()))(t)
	<-listen.Done()
	check(t, errors.Join(listen.Err(), poke.Stop(context.WithoutCancel(ctx), "KILL")))
	// The log is appended to: its last line counts.
	all := strings.Split(string(must(os.ReadFile(listen.Log()))(t)), "\n")
	var event struct{ From string }
	if err := json.Unmarshal([]byte(all[max(0, len(all)-2)]), &event); err != nil || event.From == "" {
		return netip.AddrPort{}
	}
	return netip.MustParseAddrPort(event.From)
}
