package admission

import (
	"net/netip"
	"slices"
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

// rules are those of a network in a mode.
func rules(m Mode) *Rules {
	return &Rules{Guard: m.Guard([]netip.Prefix{netip.MustParsePrefix("10.0.0.0/24"), netip.MustParsePrefix("fd00::/64")})}
}
