package network

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"evio/datapath/packet"
	"evio/overlay"
)

// sink is a device that keeps what is written to it.
type sink struct {
	idle
	frames [][]byte
}

func (s *sink) WriteFrames(all [][]byte) (int, error) {
	for _, f := range all {
		s.frames = append(s.frames, slices.Clone(f))
	}
	return len(all), nil
}

// told is ARP or an advertisement by a MAC address that addr is at mac.
func told(by overlay.MAC, addr netip.Addr, mac overlay.MAC) []byte {
	f := packet.Announce(nil, addr, mac)
	copy(f[6:12], by[:])
	return f
}

// probe is an ARP probe by a MAC address for one on behalf of mac.
func probe(by overlay.MAC, target netip.Addr, mac overlay.MAC) []byte {
	return edited(told(by, netip.IPv4Unspecified(), mac), func(f []byte) { copy(f[38:], target.AsSlice()) })
}

func ipv6(t testing.TB, from overlay.MAC, next layers.IPProtocol, hops uint8, body []byte) []byte {
	return serialize(t,
		&layers.Ethernet{SrcMAC: from[:], DstMAC: packet.Broadcast[:], EthernetType: layers.EthernetTypeIPv6},
		&layers.IPv6{Version: 6, HopLimit: hops, NextHeader: next, SrcIP: their6.AsSlice(), DstIP: net6("ff02::1")}, gopacket.Payload(body))
}

func net6(s string) []byte { return netip.MustParseAddr(s).AsSlice() }

func udp(t testing.TB, from, to uint16) []byte {
	ip := &layers.IPv4{Version: 4, IHL: 5, TTL: 64, Protocol: layers.IPProtocolUDP, SrcIP: their4.AsSlice(), DstIP: our4.AsSlice()}
	u := &layers.UDP{SrcPort: layers.UDPPort(from), DstPort: layers.UDPPort(to)}
	if err := u.SetNetworkLayerForChecksum(ip); err != nil {
		t.Fatal(err)
	}
	return serialize(t, &layers.Ethernet{SrcMAC: theirs[:], DstMAC: ours[:], EthernetType: layers.EthernetTypeIPv4}, ip, u)
}

func edited(frame []byte, edit func([]byte)) []byte {
	frame = slices.Clone(frame)
	edit(frame)
	return frame
}

func TestFramesOfAPeerMustBeTrue(t *testing.T) {
	local := netip.MustParseAddr("fe80::2")
	tag := func(tpid, vid uint16) []byte {
		b := append(slices.Clone(packet.Broadcast[:]), theirs[:]...)
		b = binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(b, tpid), vid)
		return append(b, told(theirs, our4, theirs)[12:]...)
	}
	// A second link-layer option that is malformed: some receivers take the first.
	twice := edited(told(theirs, our6, theirs), func(f []byte) { f[packet.HeaderLen+5] += 16 })
	twice = append(twice, 2, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	n := bare(t)
	for name, c := range map[string]struct {
		frame []byte
		cause *atomic.Uint64
		taken bool
		final bool
	}{
		"runt":                                {make([]byte, 13), &n.drops.malformed, false, true},
		"of its own":                          {unicast(t, theirs, ours), nil, false, false},
		"of ours":                             {unicast(t, ours, another), &n.drops.notOwner, true, false},
		"of nobody's":                         {unicast(t, unknownMAC, ours), &n.drops.notOwner, false, false},
		"ARP of its own":                      {told(theirs, their4, theirs), nil, false, false},
		"ARP of our address":                  {told(theirs, our4, theirs), &n.drops.notHolder, true, false},
		"ARP of our MAC":                      {told(theirs, their4, ours), &n.drops.notHolder, true, false},
		"ARP of a free address":               {told(theirs, unknown4, theirs), &n.drops.notHolder, false, false},
		"ARP of a free MAC":                   {told(theirs, their4, unknownMAC), &n.drops.notHolder, false, false},
		"ARP probe":                           {probe(theirs, unknown4, theirs), nil, false, false},
		"ARP probe of its own":                {probe(theirs, their4, theirs), nil, false, false},
		"ARP probe of our address":            {probe(theirs, our4, theirs), &n.drops.notHolder, true, false},
		"ARP probe of our address, for us":    {probe(theirs, our4, ours), &n.drops.notHolder, true, false},
		"ARP of IEEE 802 hardware":            {edited(told(theirs, our4, theirs), func(f []byte) { f[15] = 6 }), &n.drops.malformed, false, true},
		"advertisement of its own":            {told(theirs, their6, theirs), nil, false, false},
		"advertisement of our address":        {told(theirs, our6, theirs), &n.drops.notHolder, true, false},
		"advertisement of a free address":     {told(theirs, unknown6, theirs), &n.drops.notHolder, false, false},
		"advertisement with two options":      {twice, &n.drops.malformed, false, true},
		"advertisement of a link-local":       {told(theirs, local, theirs), nil, false, false},
		"link-local at our MAC":               {told(theirs, local, ours), &n.drops.notHolder, true, false},
		"solicitation of ours":                {edited(solicit(t, our6, their6), func(f []byte) { copy(f[6:12], theirs[:]) }), &n.drops.notHolder, true, false},
		"router solicitation":                 {ipv6(t, theirs, layers.IPProtocolICMPv6, 255, []byte{133, 0, 0, 0, 0, 0, 0, 0}), nil, false, false},
		"router solicitation from ours":       {edited(ipv6(t, theirs, layers.IPProtocolICMPv6, 255, []byte{133, 0, 0, 0, 0, 0, 0, 0}), func(f []byte) { copy(f[22:38], our6.AsSlice()) }), &n.drops.notHolder, true, false},
		"router advertisement":                {ipv6(t, theirs, layers.IPProtocolICMPv6, 255, []byte{134, 0, 0, 0, 0, 0, 0, 0}), &n.drops.role, false, true},
		"redirect":                            {ipv6(t, theirs, layers.IPProtocolICMPv6, 255, []byte{137, 0, 0, 0, 0, 0, 0, 0}), &n.drops.role, false, true},
		"echo request":                        {ipv6(t, theirs, layers.IPProtocolICMPv6, 64, []byte{128, 0, 0, 0, 0, 0, 0, 0}), nil, false, false},
		"advertisement behind an option":      {ipv6(t, theirs, layers.IPProtocolIPv6Destination, 255, []byte{58, 0, 1, 4, 0, 0, 0, 0, 136, 0}), &n.drops.malformed, false, true},
		"report of multicast listener":        {ipv6(t, theirs, layers.IPProtocolIPv6HopByHop, 1, []byte{58, 0, 5, 2, 0, 0, 1, 0, 143, 0}), nil, false, false},
		"DHCPv6 server":                       {ipv6(t, theirs, layers.IPProtocolUDP, 1, []byte{0x02, 0x23, 0x02, 0x22, 0, 8, 0, 0}), &n.drops.role, false, true},
		"DHCPv6 server behind options":        {ipv6(t, theirs, layers.IPProtocolIPv6Destination, 64, append([]byte{17, 0, 1, 4, 0, 0, 0, 0}, 0x02, 0x23, 0x02, 0x22, 0, 8, 0, 0)), &n.drops.role, false, true},
		"DHCPv6 server in a fragment":         {ipv6(t, theirs, layers.IPProtocolIPv6Fragment, 64, append([]byte{17, 0, 0, 1, 0, 0, 0, 1}, 0x02, 0x23, 0x02, 0x22, 0, 8, 0, 0)), &n.drops.role, false, true},
		"first fragment that shows no ports":  {ipv6(t, theirs, layers.IPProtocolIPv6Fragment, 64, append([]byte{60, 0, 0, 1, 0, 0, 0, 1}, 17, 0, 1, 4, 0, 0, 0, 0)), &n.drops.malformed, false, true},
		"later fragment":                      {ipv6(t, theirs, layers.IPProtocolIPv6Fragment, 64, append([]byte{17, 0, 0, 8, 0, 0, 0, 1}, 0x02, 0x23, 0x02, 0x22, 0, 8, 0, 0)), nil, false, false},
		"short IPv6":                          {edited(told(theirs, our6, theirs), func([]byte) {})[:40], &n.drops.notHolder, true, false},
		"IPv6 without a body":                 {ipv6(t, theirs, layers.IPProtocolNoNextHeader, 64, nil), nil, false, false},
		"IPv6 without a body, from ours":      {edited(ipv6(t, theirs, layers.IPProtocolNoNextHeader, 64, nil), func(f []byte) { copy(f[22:38], our6.AsSlice()) }), &n.drops.notHolder, true, false},
		"DHCP server":                         {udp(t, 67, 68), &n.drops.role, false, true},
		"DHCP client":                         {udp(t, 68, 67), nil, false, false},
		"tag that receivers take off":         {tag(packet.TypeVLAN, 0x2000), &n.drops.malformed, false, true},
		"service tag that receivers take off": {tag(typeServiceVLAN, 0), &n.drops.malformed, false, true},
		"tag cut short":                       {tag(packet.TypeVLAN, 5)[:14], &n.drops.malformed, false, true},
		"tag":                                 {tag(packet.TypeVLAN, 5), nil, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got, want := n.frameFault(table(), there, c.frame), (fault{c.cause, c.final, c.taken}); got != want {
				t.Errorf("cause %s, want %s; %+v", n.nameOf(got.cause), n.nameOf(want.cause), got)
			}
		})
	}
}

// nameOf returns the name under which a counter is shown.
func (n *network) nameOf(c *atomic.Uint64) string {
	if c == nil {
		return "none"
	}
	before := c.Swap(1 << 40)
	defer c.Store(before)
	for name, count := range n.drops.byCause() {
		if count == 1<<40 {
			return name
		}
	}
	return "without a name"
}

// A flooded frame that claims what nobody holds waits for the record, but nobody gets
// by it what another holds.
func TestFloodWaitsForTheRecord(t *testing.T) {
	now := time.Now()
	gained := overlay.NewTable(append(slices.Clone(table().Entries()),
		overlay.Entry{MAC: unknownMAC, Node: there}, overlay.Entry{Addr: unknown4, MAC: unknownMAC, Node: there}))
	elsewhere := overlay.NewTable(append(slices.Clone(table().Entries()),
		overlay.Entry{MAC: unknownMAC, Node: there}, overlay.Entry{MAC: ours, Node: here}, overlay.Entry{Addr: unknown4, MAC: ours, Node: here}))
	first := told(unknownMAC, unknown4, unknownMAC)
	for name, c := range map[string]struct {
		then  *overlay.Table
		after time.Duration
		want  int
		cause string
	}{
		"the record comes":           {gained, time.Second, 1, ""},
		"another node gets it":       {elsewhere, time.Second, 0, "address-not-owned"},
		"nothing comes":              {table(), heldFor, 0, "source-not-owned"},
		"the record comes late":      {gained, heldFor, 0, "source-not-owned"},
		"something else comes first": {table(), time.Second, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			n := bare(t)
			dev := &sink{idle: "evf0"}
			n.fabric = dev
			n.flooded(table(), there, first, now)
			n.settle(c.then, now.Add(c.after))
			if len(dev.frames) != c.want {
				t.Errorf("delivered %d times", len(dev.frames))
			}
			if c.cause != "" && n.drops.byCause()[c.cause] != 1 || c.cause == "" && len(n.drops.byCause()) != 0 {
				t.Errorf("drops %v", n.drops.byCause())
			}
			n.settle(table(), now.Add(heldFor))
			if len(n.held) != 0 {
				t.Errorf("%d origins still wait", len(n.held))
			}
		})
	}
}

func TestFloodAtOnce(t *testing.T) {
	n := bare(t)
	dev := &sink{idle: "evf0"}
	n.fabric = dev
	now := time.Now()
	n.flooded(table(), there, told(theirs, their4, theirs), now)
	n.flooded(table(), there, told(theirs, our4, theirs), now)
	n.flooded(table(), there, udp(t, 67, 68), now)
	if len(dev.frames) != 1 || len(n.held) != 0 || n.drops.notHolder.Load() != 1 || n.drops.role.Load() != 1 {
		t.Errorf("delivered %d, waiting %d, drops %v", len(dev.frames), len(n.held), n.drops.byCause())
	}
	for range heldMost + 5 {
		n.flooded(table(), there, told(theirs, unknown4, theirs), now)
	}
	n.flooded(table(), here, told(ours, unknown4, ours), now) // one origin does not take another's room
	if len(n.held[there]) != heldMost || len(n.held[here]) != 1 || n.drops.notHolder.Load() != 6 {
		t.Errorf("waiting %d and %d, drops %v", len(n.held[there]), len(n.held[here]), n.drops.byCause())
	}
}

// The check of data frames is made for each of them.
func TestContentCheckAllocatesNothing(t *testing.T) {
	n, known := bare(t), table()
	for _, f := range [][]byte{
		unicast(t, theirs, ours), udp(t, 1, 2), told(theirs, their4, theirs), told(theirs, their6, theirs), told(theirs, our4, theirs),
	} {
		if got := testing.AllocsPerRun(100, func() { n.contentFault(known, there, f) }); got != 0 {
			t.Errorf("%v allocations for %x", got, f)
		}
	}
}

func BenchmarkContentFault(b *testing.B) {
	n, known := &network{}, table()
	for name, f := range map[string][]byte{"IPv4": udp(b, 1, 2), "ARP": told(theirs, their4, theirs), "ND": told(theirs, their6, theirs)} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				n.contentFault(known, there, f)
			}
		})
	}
}

func FuzzFrameFault(f *testing.F) {
	for _, frame := range [][]byte{nil, told(theirs, our4, theirs), told(theirs, our6, theirs), udp(f, 67, 68), probe(theirs, our4, theirs), dad(f, theirs, our6)} {
		f.Add(frame)
	}
	n, known := &network{}, table()
	f.Fuzz(func(t *testing.T, frame []byte) {
		if n.frameFault(known, there, frame).cause != nil {
			return
		}
		if c, ok := packet.Probe(frame); ok && !c.Addr.IsLinkLocalUnicast() {
			if e, held := known.Lookup(c.Addr); held && e.Node != there {
				t.Errorf("%x asks for %v", frame, c.Addr)
			}
		}
		if c, ok := packet.Claims(frame); ok && !c.Addr.IsLinkLocalUnicast() {
			if e, held := known.Lookup(c.Addr); !held || e.Node != there {
				t.Errorf("%s", fmt.Sprintf("%x tells of %v", frame, c.Addr))
			}
		}
	})
}
