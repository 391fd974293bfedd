package overlay

import (
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"evio/overlay/control"
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
