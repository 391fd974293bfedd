package overlay

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"evio/overlay/control"
	"evio/overlay/directory"
	"evio/overlay/sites"
)

func hwText(m MAC) string { return net.HardwareAddr(m[:]).String() }

func (s *site) handOut(texts ...string) {
	var ranges []netip.Prefix
	for _, r := range texts {
		ranges = append(ranges, netip.MustParsePrefix(r))
	}
	s.node.HandOut(ranges)
}

func (s *site) memberSite(of *site) string {
	for _, m := range s.status().Members {
		if m.Node == of.id {
			return m.Site
		}
	}
	return ""
}

func TestOverlappingRangesAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 3)
		a, b, c := l.sites[0], l.sites[1], l.sites[2]
		a.handOut("10.0.1.0/24", "fd00::/80") // before anybody is there to hear it
		l.until("connected", l.connected)
		b.handOut("10.0.0.0/16")
		c.handOut("10.1.0.0/16")
		one := func(s *site) bool { return len(s.node.Warnings()) == 1 }
		l.until("both warn", func() bool { return one(a) && one(b) && a.memberSite(b) == b.place })
		if w := c.node.Warnings(); len(w) != 0 {
			t.Errorf("the third warns: %q", w)
		}
		for s, other := range map[*site]*site{a: b, b: a} {
			w := s.node.Warnings()[0]
			for _, part := range []string{s.place, other.jid, other.place, "10.0.1.0/24", "10.0.0.0/16", "--ip-range", labOverlay} {
				if !strings.Contains(w, part) {
					t.Errorf("%q does not name %s", w, part)
				}
			}
			if strings.Contains(w, "fd00") {
				t.Errorf("%q names a range that is the site's own", w)
			}
			if got := s.log.with("hands out addresses"); len(got) != 1 {
				t.Errorf("logged %d times: %q", len(got), got)
			}
		}

		// A new session says the same again, which is no news.
		l.wire.setCut(a.id, b.id, true)
		l.until("down", func() bool { return a.fabric.link(b.id) == nil })
		l.wire.setCut(a.id, b.id, false)
		l.until("connected again", l.connected)
		pass(time.Second)
		if got := a.log.with("hands out addresses"); len(got) != 1 || !one(a) {
			t.Errorf("logged %d times", len(got))
		}

		b.handOut("10.0.2.0/24")
		l.until("nobody warns", func() bool { return len(a.node.Warnings())+len(b.node.Warnings()) == 0 })
		b.handOut("10.0.1.128/25")
		l.until("both warn again", func() bool { return one(a) && one(b) })
		l.server.Remove(b.jid)
		l.until("not of one who is no member", func() bool { return len(a.node.Warnings()) == 0 })
	})
}

// TestNetworksThatDoNotGoTogether: both ends name what differs and what to do, as long as
// they have a session, and until the network of one was made anew.
func TestNetworksThatDoNotGoTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 3)
		a, b, c := l.sites[0], l.sites[1], l.sites[2]
		l.until("connected", l.connected)
		again := func(s *site, mtu int, subnets ...string) {
			s.stop()
			s.mtu = mtu
			s.has(subnets...)
			s.start()
		}
		tell := func(want map[*site][]string) {
			t.Helper()
			l.until("told", func() bool {
				return l.connected() && len(a.node.Warnings()) == len(want[a]) && len(b.node.Warnings()) == len(want[b]) && len(c.node.Warnings()) == len(want[c])
			})
			for s, parts := range want {
				for i, w := range s.node.Warnings() {
					for part := range strings.SplitSeq(parts[i], "…") {
						if !strings.Contains(w, part) {
							t.Errorf("%s: %q does not say %q", s.place, w, part)
						}
					}
				}
			}
		}
		again(b, 9000, "10.0.0.0/8", "fd00::/8")
		differs := "MTU…1400…9000…place01…-o com.docker.network.driver.mtu=BYTES"
		tell(map[*site][]string{a: {differs}, c: {differs}, b: {differs, differs}})
		again(b, 1400, "10.0.0.0/8", "fd01::/64")
		tell(map[*site][]string{})
		again(a, 1400, "10.0.0.0/8", "fd00::/64")
		apart := "IPv6 subnet…fd00::/64…fd01::/64…the other's IPv6 --subnet"
		tell(map[*site][]string{a: {apart}, b: {apart}})
		again(a, 1400, "192.168.0.0/24", "fd00::/8")
		apart = "IPv4 subnet…192.168.0.0/24…10.0.0.0/8…the other's --subnet"
		tell(map[*site][]string{a: {apart, apart}, b: {apart}, c: {apart}})
		a.stop()
		l.until("of one with a session only", func() bool { return len(b.node.Warnings())+len(c.node.Warnings()) == 0 })
		a.has("10.0.0.0/8")
		a.start()
		tell(map[*site][]string{})
		b.node.Losing(true)
		loses := b.jid + "…" + b.place + "…loses frames…evio status there"
		tell(map[*site][]string{a: {loses}, c: {loses}})
		b.node.Losing(false)
		tell(map[*site][]string{})
		again(c, 1400)
		null := "10.0.0.0/8…none…--ipam-driver null"
		tell(map[*site][]string{a: {null}, b: {null}, c: {null, null}})
		again(c, 1400, "10.0.0.0/8")
		tell(map[*site][]string{})
		a.guard = "open"
		again(a, 1400, "10.0.0.0/8")
		guards := "evio.guard…claim…open…refuses…-o evio.guard=MODE"
		tell(map[*site][]string{a: {guards, guards}, b: {"place00…" + guards[len("evio.guard…"):]}, c: {guards}})
		if got := c.log.with("MTU"); len(got) != 1 {
			t.Errorf("logged %d times: %q", len(got), got)
		}
	})
}

// A member that goes on changing its mind is not listened to.
func TestDescriptionsOfSitesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 2)
		a, b := l.sites[0], l.sites[1]
		a.handOut("10.0.0.0/8")
		l.until("settled", l.settled)
		say := func(payload []byte) {
			a.on(func() {
				p := a.node.peers[b.id]
				a.node.control(p, p.serving, control.Message{Type: control.Site, Payload: payload}, time.Now())
			})
		}
		say([]byte{9})
		if a.drop("site") != 1 || a.memberSite(b) != b.place {
			t.Errorf("%d dropped, the site is %q", a.drop("site"), a.memberSite(b))
		}
		same := sites.Site{Name: "same"}.Append(nil)
		for range 100 {
			say(same)
		}
		for i := range 100 {
			say(sites.Site{Ranges: []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i)}), 16)}}.Append(nil))
		}
		if got := a.drop("site"); got < 100-siteBurst || got > 101-siteBurst+2 {
			t.Errorf("%d dropped", got)
		}
		if got := len(a.log.with("hands out addresses")); got > siteBurst {
			t.Errorf("%d log lines", got)
		}
	})
}

// TestGatewaysOfSitesAreNobodys: what a site tells as its gateway no other node can claim,
// as long as it is a member's.
func TestGatewaysOfSitesAreNobodys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 2)
		a, b := l.sites[0], l.sites[1]
		a.stop()
		a.gateway = []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd00::1")}
		a.start()
		l.until("connected", l.connected)
		pass(time.Second)
		for _, addr := range a.gateway {
			if err := b.node.Check(t.Context(), []netip.Addr{addr}, hw(1)); !errors.Is(err, directory.ErrNobodys) {
				t.Errorf("%v at another site: %v", addr, err)
			}
			if err := a.node.Check(t.Context(), []netip.Addr{addr}, hw(1)); err != nil {
				t.Errorf("%v at its own site: %v", addr, err)
			}
		}
		l.server.Remove(a.jid)
		l.until("free", func() bool { return b.node.Check(t.Context(), a.gateway[:1], hw(1)) == nil })
	})
}
