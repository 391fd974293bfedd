package network

import (
	"net/netip"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"evio/datapath/packet"
	"evio/overlay"
	"evio/overlay/nodeid"
)

var (
	here, there   = nodeid.ID{1}, nodeid.ID{2}
	ours, another = overlay.MAC{2, 0, 0, 0, 0, 1}, overlay.MAC{2, 0, 0, 0, 0, 4}
	theirs        = overlay.MAC{2, 0, 0, 0, 0, 2}
	unknownMAC    = overlay.MAC{2, 0, 0, 0, 0, 9}

	our4, our6         = netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd00::1")
	their4, their6     = netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("fd00::2")
	unknown4, unknown6 = netip.MustParseAddr("10.0.0.9"), netip.MustParseAddr("fd00::9")
)

func table() *overlay.Table {
	return overlay.NewTable([]overlay.Entry{
		{MAC: ours, Node: here}, {MAC: another, Node: here}, {MAC: theirs, Node: there},
		{Addr: our4, MAC: ours, Node: here}, {Addr: our6, MAC: ours, Node: here},
		{Addr: their4, MAC: theirs, Node: there}, {Addr: their6, MAC: theirs, Node: there},
	})
}

func serialize(t testing.TB, all ...gopacket.SerializableLayer) []byte {
	t.Helper()
	b := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, all...); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func unicast(t testing.TB, from, to overlay.MAC) []byte {
	return serialize(t, &layers.Ethernet{SrcMAC: from[:], DstMAC: to[:], EthernetType: 0x88b5}, gopacket.Payload("hello"))
}

// arp makes an ARP message; sent by our container.
func arp(t testing.TB, op uint16, sender, target netip.Addr) []byte {
	return serialize(t,
		&layers.Ethernet{SrcMAC: ours[:], DstMAC: packet.Broadcast[:], EthernetType: layers.EthernetTypeARP},
		&layers.ARP{
			AddrType: layers.LinkTypeEthernet, Protocol: layers.EthernetTypeIPv4, HwAddressSize: 6, ProtAddressSize: 4, Operation: op,
			SourceHwAddress: ours[:], SourceProtAddress: sender.AsSlice(), DstHwAddress: make([]byte, 6), DstProtAddress: target.AsSlice(),
		})
}

// solicit makes a neighbour solicitation of our container.
func solicit(t testing.TB, source, target netip.Addr) []byte {
	group := netip.MustParseAddr("ff02::1:ff00:0").As16()
	to := target.As16()
	copy(group[13:], to[13:])
	ip := &layers.IPv6{Version: 6, HopLimit: 255, NextHeader: layers.IPProtocolICMPv6, SrcIP: source.AsSlice(), DstIP: group[:]}
	icmp := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(layers.ICMPv6TypeNeighborSolicitation, 0)}
	if err := icmp.SetNetworkLayerForChecksum(ip); err != nil {
		t.Fatal(err)
	}
	ns := &layers.ICMPv6NeighborSolicitation{TargetAddress: target.AsSlice()}
	if !source.IsUnspecified() {
		ns.Options = layers.ICMPv6Options{{Type: layers.ICMPv6OptSourceAddress, Data: ours[:]}}
	}
	mac := overlay.MAC{0x33, 0x33, 0xff, to[13], to[14], to[15]}
	return serialize(t, &layers.Ethernet{SrcMAC: ours[:], DstMAC: mac[:], EthernetType: layers.EthernetTypeIPv6}, ip, icmp, ns)
}

func TestDecide(t *testing.T) {
	none4, none6 := netip.IPv4Unspecified(), netip.IPv6Unspecified()
	for name, c := range map[string]struct {
		frame []byte
		want  action
	}{
		"nothing":                         {nil, discard},
		"runt":                            {make([]byte, packet.HeaderLen-1), discard},
		"unicast to a peer's container":   {unicast(t, ours, theirs), toPeer},
		"unicast to our own container":    {unicast(t, ours, another), discard},
		"unicast to nobody known":         {unicast(t, ours, unknownMAC), toAll},
		"broadcast":                       {unicast(t, ours, packet.Broadcast), toAll},
		"multicast":                       {unicast(t, ours, overlay.MAC{1, 0, 0x5e, 0, 0, 251}), toAll},
		"ARP for a peer's address":        {arp(t, 1, our4, their4), reply},
		"ARP for our address":             {arp(t, 1, unknown4, our4), discard},
		"ARP for an unknown address":      {arp(t, 1, our4, unknown4), toAll},
		"ARP announcement of our address": {arp(t, 1, our4, our4), toAll},
		"ARP announcement of a peer's":    {arp(t, 1, their4, their4), toAll},
		"ARP probe of our own address":    {arp(t, 1, none4, our4), discard},
		"ARP probe of a peer's address":   {arp(t, 1, none4, their4), reply},
		"ARP probe of a free address":     {arp(t, 1, none4, unknown4), toAll},
		"ARP reply to all":                {arp(t, 2, our4, their4), toAll},
		"ND for a peer's address":         {solicit(t, our6, their6), reply},
		"ND for our address":              {solicit(t, unknown6, our6), discard},
		"ND for an unknown address":       {solicit(t, our6, unknown6), toAll},
		"DAD of our own address":          {solicit(t, none6, our6), discard},
		"DAD of a peer's address":         {solicit(t, none6, their6), reply},
		"DAD of a free address":           {solicit(t, none6, unknown6), toAll},
		"unsolicited advertisement":       {packet.Announce(nil, our6, ours), toAll},
	} {
		t.Run(name, func(t *testing.T) {
			got, q, e := decide(table(), here, c.frame)
			if got != c.want {
				t.Fatalf("action %d, want %d", got, c.want)
			}
			switch got {
			case reply:
				if e.MAC != theirs || (q.Target != their4 && q.Target != their6) {
					t.Errorf("answers %v with %v", q.Target, e.MAC)
				}
			case toPeer:
				if e.Node != there {
					t.Errorf("to %v", e.Node)
				}
			case discard, toAll:
			}
		})
	}
}

// Before anything is known all questions go to all, and nothing is answered.
func TestDecideWithoutDirectory(t *testing.T) {
	for _, frame := range [][]byte{unicast(t, ours, theirs), arp(t, 1, our4, their4), solicit(t, our6, their6)} {
		if got, _, _ := decide(nil, here, frame); got != toAll {
			t.Errorf("action %d", got)
		}
	}
}

func BenchmarkDecide(b *testing.B) {
	known, frame := table(), unicast(b, ours, theirs)
	b.ReportAllocs()
	for b.Loop() {
		decide(known, here, frame)
	}
}
