//go:build e2e

package hostile

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"evio/integration/scenario"
)

// A member's frames must say the truth about the addresses in them; those that do arrive.
func (f *federation) frames(t *testing.T) {
	t.Run("claim", func(t *testing.T) { f.framesOf(t, party{open, "claim", f.member, f.mallory.JID}) })
	for i, guard := range []string{"strict", "open"} {
		t.Run(guard, func(t *testing.T) {
			f.framesOf(t, f.newParty(t, guard, scenario.Overlay{Name: "guard-" + guard, Net: 42 + i, Guard: guard}))
		})
	}
}

func (f *federation) framesOf(t *testing.T, p party) {
	me, a, b := malloryHost(p.Overlay), hostAt(t, f.a, p.Overlay), hostAt(t, f.b, p.Overlay)
	to := scenario.OverlayAt(t, f.b, p.Name).Node
	before := scenario.AwaitSession(t, time.Second, f.b, p.Name, p.jid)
	inSubnet := func(last string) netip.Addr { return netip.MustParseAddr(fmt.Sprintf("10.%d.%s", p.Net, last)) }
	nobodys, outside := host{me.mac, inSubnet("9.200"), me.v6}, netip.MustParseAddr("192.0.2.9")
	stolen := host{me.mac, a.v4, a.v6}
	unknown := net.HardwareAddr{6, 0x77, 0, 0, 0, 7}
	router := &layers.ICMPv6RouterAdvertisement{HopLimit: 64, RouterLifetime: 1800}
	link := netip.MustParseAddr("fe80::466:ff:fe00:1")
	all := netip.MustParseAddr("ff02::1")
	groups := net.HardwareAddr{0x33, 0x33, 0, 0, 0, 1}

	ear := scenario.Listen(t, f.b, p.Name)
	for _, c := range []struct {
		name     string
		floods   bool
		from, to net.HardwareAddr
		layers   []gopacket.SerializableLayer
		counter  string // empty: an honest frame
		allowed  string // the guard with which it is one all the same
	}{
		{"honest data", false, me.mac, b.mac, udp4(me.v4, b.v4, 9, 9), "", ""},
		{"honest data of IPv6", false, me.mac, b.mac, udp6(me.v6, b.v6, 9, 9), "", ""},
		{"honest flood", true, me.mac, everybody, udp4(me.v4, inSubnet("255.255"), 9, 9), "", ""},
		{"honest ARP", true, me.mac, everybody, one(arp(me, me)), "", ""},
		{"honest advertisement", true, me.mac, groups, icmp6(me.v6, all, layers.ICMPv6TypeNeighborAdvertisement, advertisement(me)), "", ""},

		{"MAC of another", false, a.mac, b.mac, udp4(me.v4, b.v4, 9, 9), "source-not-owned", ""},
		{"MAC of nobody", false, unknown, b.mac, udp4(me.v4, b.v4, 9, 9), "source-not-owned", ""},
		{"MAC of the receiver", false, b.mac, b.mac, udp4(b.v4, b.v4, 9, 9), "source-not-owned", ""},
		{"flood with the MAC of another", true, a.mac, everybody, udp4(a.v4, inSubnet("255.255"), 9, 9), "flood-source-not-origin", ""},
		{"IPv4 address of another", false, me.mac, b.mac, udp4(a.v4, b.v4, 9, 9), "address-not-owned", ""},
		{"IPv6 address of another", false, me.mac, b.mac, udp6(a.v6, b.v6, 9, 9), "address-not-owned", ""},
		{"flood with the address of another", true, me.mac, everybody, udp4(a.v4, inSubnet("255.255"), 9, 9), "address-not-owned", ""},
		{"ARP of another", false, me.mac, b.mac, one(arp(stolen, b)), "address-not-owned", ""},
		{"flooded ARP of another", true, me.mac, everybody, one(arp(stolen, stolen)), "address-not-owned", ""},
		{"ARP for the receiver", true, me.mac, everybody, one(arp(host{me.mac, b.v4, b.v6}, b)), "address-not-owned", ""},
		{"advertisement of another", false, me.mac, b.mac, icmp6(me.v6, b.v6, layers.ICMPv6TypeNeighborAdvertisement, advertisement(stolen)), "address-not-owned", ""},
		{"router advertisement", true, me.mac, groups, icmp6(link, all, layers.ICMPv6TypeRouterAdvertisement, router), "router-or-dhcp", ""},
		{"router advertisement as data", false, me.mac, b.mac, icmp6(link, all, layers.ICMPv6TypeRouterAdvertisement, router), "router-or-dhcp", ""},
		{"DHCP server", true, me.mac, everybody, udp4(me.v4, netip.MustParseAddr("255.255.255.255"), 67, 68), "router-or-dhcp", "open"},
		{"DHCPv6 server", false, me.mac, b.mac, udp6(me.v6, b.v6, 547, 546), "router-or-dhcp", "open"},
		{"IPv4 address of nobody", false, me.mac, b.mac, udp4(nobodys.v4, b.v4, 9, 9), "address-not-owned", "open"},
		{"IPv4 address outside of the subnets", false, me.mac, b.mac, udp4(outside, b.v4, 9, 9), "address-not-owned", "open"},
		{"ARP of nobody", true, me.mac, everybody, one(arp(nobodys, nobodys)), "address-not-owned", "open"},
		{"broadcast as data", false, me.mac, everybody, udp4(me.v4, inSubnet("255.255"), 9, 9), "malformed", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			token := "token of: " + c.name + "."
			route := map[bool]string{false: "POST /frames", true: "POST /floods"}[c.floods]
			send := func() {
				p.member.ask(t, route, sent{To: to, Frames: []string{frame(t, c.from, c.to, token, c.layers...)}}, nil)
			}
			if c.counter == "" || c.allowed == p.guard {
				send()
				ear.Await(t, token)
				return
			}
			scenario.Moves(t, f.b, scenario.OfOverlay(p.Name, c.counter), 1, send)
			// What is sent after it comes after it.
			p.member.ask(t, "POST /frames", sent{To: to, Frames: []string{frame(t, me.mac, b.mac, "after "+token, udp4(me.v4, b.v4, 9, 9)...)}}, nil)
			ear.Await(t, "after "+token)
			if ear.Heard(t, token) != 1 {
				t.Error("it arrived")
			}
		})
	}
	scenario.Unchanged(t, f.b, p.Name, p.jid, before)
	pings(t, f.a, f.b)
}

// A flood in the name of another gets nothing, whatever is in it, and keeps none of the other's own
// floods away.
func (f *federation) floodsInAnothersName(t *testing.T) {
	me, a, b := malloryHost(open), hostAt(t, f.a, open), hostAt(t, f.b, open)
	origin, to := scenario.OverlayAt(t, f.a, open.Name).Node, scenario.OverlayAt(t, f.b, open.Name).Node
	before := scenario.AwaitSession(t, time.Second, f.b, open.Name, f.mallory.JID)
	all, broadcast := netip.MustParseAddr("ff02::1"), netip.MustParseAddr("10.40.255.255")
	groups := net.HardwareAddr{0x33, 0x33, 0, 0, 0, 1}
	announced := host{a.mac, b.v4, b.v6} // that a has b's addresses
	forge := func(frames ...string) sent { return sent{To: to, Origin: origin, Frames: frames} }

	ear := scenario.Listen(t, f.b, open.Name)
	// The hostile member learns where a's numbers stand.
	flooding := func(token string, count string) {
		scenario.Inside(t, f.a, open.Name, "probe", "udp-send", "-to", "10.40.255.255:9", "-token", token, "-count", count, "-every", "50ms")
	}
	flooding("a-was-heard", "1")
	ear.Await(t, "a-was-heard")
	scenario.Until(t, 5*time.Second, func() error {
		return f.member.try(t.Context(), "POST /floods", forge(), nil)
	})
	for _, c := range []struct {
		name    string
		what    sent
		counter string
	}{
		{"broadcast", forge(frame(t, a.mac, everybody, "forged", udp4(a.v4, broadcast, 9, 9)...)), "flood-forged"},
		{"unicast", forge(frame(t, a.mac, b.mac, "forged", udp4(a.v4, b.v4, 9, 9)...)), "flood-forged"},
		{"unicast of IPv6", forge(frame(t, a.mac, b.mac, "forged", udp6(a.v6, b.v6, 9, 9)...)), "flood-forged"},
		{"ARP", forge(frame(t, a.mac, everybody, "forged", arp(a, a))), "flood-forged"},
		{"ARP of what is not its", forge(frame(t, a.mac, everybody, "forged", arp(announced, announced))), "flood-forged"},
		{"advertisement", forge(frame(t, a.mac, groups, "forged", icmp6(a.v6, all, layers.ICMPv6TypeNeighborAdvertisement, advertisement(a))...)), "flood-forged"},
		{"own MAC", forge(frame(t, me.mac, everybody, "forged", udp4(me.v4, broadcast, 9, 9)...)), "flood-forged"},
		{
			"under the signature of what it has flooded",
			sent{To: to, Origin: origin, Stolen: true, Frames: []string{frame(t, a.mac, everybody, "forged", udp4(a.v4, broadcast, 9, 9)...)}},
			"flood-duplicate", // whatever the frame, its number came
		},
		{"what it has flooded, again", sent{To: to, Origin: origin, Stolen: true, Again: true, Times: 3}, "flood-duplicate"},
	} {
		t.Run(c.name, func(t *testing.T) {
			scenario.Moves(t, f.b, scenario.OfOverlay(open.Name, c.counter), 1, func() { f.member.ask(t, "POST /floods", c.what, nil) })
			after := "after " + c.name + "."
			f.member.ask(t, "POST /frames", sent{To: to, Frames: []string{frame(t, me.mac, b.mac, after, udp4(me.v4, b.v4, 9, 9)...)}}, nil)
			ear.Await(t, after)
			if ear.Heard(t, "forged") != 0 || ear.Heard(t, "a-was-heard") != 1 {
				t.Error("it arrived")
			}
		})
	}
	t.Run("numbers to come", func(t *testing.T) {
		const count = 20
		wanted := forge()
		for range 4 * count {
			wanted.Frames = append(wanted.Frames, frame(t, a.mac, everybody, "forged", udp4(a.v4, broadcast, 9, 9)...))
		}
		scenario.Moves(t, f.b, scenario.OfOverlay(open.Name, "flood-forged"), 4*count, func() { f.member.ask(t, "POST /floods", wanted, nil) })
		flooding("a-is-heard-yet", "20")
		scenario.Until(t, 5*time.Second, func() error {
			if n := ear.Heard(t, "a-is-heard-yet"); n != count {
				return fmt.Errorf("%d of %d broadcasts of a came", n, count)
			}
			return nil
		})
		if ear.Heard(t, "forged") != 0 {
			t.Error("a forged one arrived")
		}
	})
	if !bytes.Contains(f.logOf(t, f.b), []byte("did not sign")) {
		t.Error("b's log does not tell who forges")
	}
	scenario.Unchanged(t, f.b, open.Name, f.mallory.JID, before)
	pings(t, f.a, f.b)
}

// A storm of floods ends at the neighbour that it is sent to, and a third node's broadcast comes
// through beside it.
func (f *federation) storm(t *testing.T) {
	const (
		frames, times = 50, 800
		burst, rate   = 3125, 3125 // taken of one origin (docs/PROTOCOL.md, Floods)
		honest        = 20
	)
	me := malloryHost(open)
	one := frame(t, me.mac, everybody, "frame-of-a-storm", udp4(me.v4, netip.MustParseAddr("10.40.255.255"), 9, 9)...)
	front, behind := f.ring(t)
	all := sent{To: scenario.OverlayAt(t, front, open.Name).Node, Frames: make([]string, frames), Times: times, Every: 1}
	for i := range all.Frames {
		all.Frames[i] = one
	}
	ear := scenario.Listen(t, behind, open.Name)
	before := scenario.AwaitSession(t, time.Second, behind, open.Name, front.Account.JID)
	limits := scenario.Sum(scenario.OfOverlay(open.Name, "flood-origin-limit"), scenario.OfOverlay(open.Name, "flood-ingress-limit"))
	limited := limits.Read(scenario.Document(t, behind))
	began := time.Now()
	scenario.Moves(t, front, scenario.Sum(limits, scenario.OfOverlay(open.Name, "flood-queue-full")), frames*times/8, func() { // not all come: sockets overflow
		stormed := make(chan error, 1)
		ctx := scenario.Within(t, 30*time.Second)
		go func() { stormed <- f.member.try(ctx, "POST /floods", all, nil) }()
		scenario.Inside(t, front, open.Name, "probe", "udp-send", "-to", "10.40.255.255:9", "-token", "honest-broadcast", "-count", strconv.Itoa(honest), "-every", "50ms")
		if err := <-stormed; err != nil {
			t.Error(err)
		}
	})
	took := time.Since(began)
	t.Logf("%d frames: %v", frames*times, took.Round(time.Millisecond))
	// What one node lets pass comes a little closer together at the next.
	if now := limits.Read(scenario.Document(t, behind)); now > limited+frames*times/40 {
		t.Errorf("the storm was not held where it was sent to: limits at the node behind went from %d to %d", limited, now)
	}
	// Some may fall out of a full socket buffer, as on any busy wire.
	came := ear.Heard(t, "honest-broadcast")
	t.Logf("%d of %d honest broadcasts came", came, honest)
	if came < honest*3/4 {
		t.Error("that is too few")
	}
	came, most := ear.Heard(t, "frame-of-a-storm"), burst+int(rate*took.Seconds())
	t.Logf("%d came, of at most %d", came, most)
	if came == 0 || came > most {
		t.Error("want some, and no more than is taken of one origin")
	}
	scenario.Unchanged(t, behind, open.Name, front.Account.JID, before)
	pings(t, f.a, f.b)
}
