package packet_test

import (
	"encoding/binary"
	"slices"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"evio/datapath/packet"
)

func udp(t testing.TB, v6 bool, from, to layers.UDPPort, options []layers.IPv4Option) []byte {
	l4 := &layers.UDP{SrcPort: from, DstPort: to}
	if v6 {
		ip := &layers.IPv6{Version: 6, NextHeader: layers.IPProtocolUDP, SrcIP: ip6a.AsSlice(), DstIP: ip6b.AsSlice()}
		_ = l4.SetNetworkLayerForChecksum(ip)
		return serialize(t, ether(asker, packet.Broadcast, layers.EthernetTypeIPv6), ip, l4)
	}
	ip := &layers.IPv4{
		Version: 4, Protocol: layers.IPProtocolUDP, SrcIP: ip4a.AsSlice(), DstIP: ip4b.AsSlice(), Options: options,
	}
	_ = l4.SetNetworkLayerForChecksum(ip)
	return serialize(t, ether(asker, packet.Broadcast, layers.EthernetTypeIPv4), ip, l4)
}

func TestSender(t *testing.T) {
	tests := []struct {
		name  string
		frame []byte
		want  packet.Role
	}{
		{"DHCP server", udp(t, false, 67, 68, nil), packet.DHCPServer},
		{"DHCP server with options", udp(t, false, 67, 68, []layers.IPv4Option{{OptionType: 1}, {OptionType: 1}, {OptionType: 1}, {OptionType: 1}}), packet.DHCPServer},
		{"DHCP client", udp(t, false, 68, 67, nil), packet.Station},
		{"DHCPv6 server", udp(t, true, 547, 546, nil), packet.DHCPServer},
		{"DHCPv6 client", udp(t, true, 546, 547, nil), packet.Station},
		{"router", ndFrame(t, 134, ip6a, ip6b, ip6a, zero, nil), packet.Router},
		{"redirect", ndFrame(t, 137, ip6a, ip6b, ip6a, zero, nil), packet.Router},
		{"NS", ndFrame(t, solicitation, ip6a, ip6b, ip6b, zero, nil), packet.Station},
		{"ARP", arpFrame(t, 1, asker, ip4a, ip4b), packet.Station},
		{"short", []byte{1, 2, 3}, packet.Station},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := packet.Sender(test.frame); got != test.want {
				t.Errorf("got %d, want %d", got, test.want)
			}
		})
	}
}

var (
	dhcp     = []byte{0x02, 0x23, 0x02, 0x22, 0, 8, 0, 0} // UDP of a DHCPv6 server
	harmless = []byte{0x02, 0x22, 0x02, 0x23, 0, 8, 0, 0}
)

// header is an extension header of IPv6 with more units of 8 bytes than one.
func header(next, more byte) []byte {
	return append([]byte{next, more}, make([]byte, 6+8*int(more))...)
}

// piece is a fragment header; the offset is in units of 8 bytes.
func piece(next byte, offset uint16, more bool) []byte {
	b := []byte{next, 0, 0, 0, 0, 0, 0, 1}
	binary.BigEndian.PutUint16(b[2:], offset<<3)
	if more {
		b[3] |= 1
	}
	return b
}

// behind is an IPv6 packet with hop limit 64.
func behind(t testing.TB, next layers.IPProtocol, parts ...[]byte) []byte {
	return serialize(t, ether(asker, packet.Broadcast, layers.EthernetTypeIPv6),
		&layers.IPv6{Version: 6, HopLimit: 64, NextHeader: next, SrcIP: ip6a.AsSlice(), DstIP: ip6b.AsSlice()},
		gopacket.Payload(slices.Concat(parts...)))
}

// told returns the frame with another payload length.
func told(frame []byte, length uint16) []byte {
	binary.BigEndian.PutUint16(frame[packet.HeaderLen+4:], length)
	return frame
}

// What receivers find behind extension headers counts, however it is cut.
func TestSenderBehindExtensionHeaders(t *testing.T) {
	const (
		hop, route, frag, icmp, none, dst, tcp, udp = 0, 43, 44, 58, 59, 60, 6, 17
	)
	for name, c := range map[string]struct {
		frame []byte
		want  packet.Role
	}{
		"hop-by-hop options":                 {behind(t, hop, header(udp, 0), dhcp), packet.DHCPServer},
		"longer destination options":         {behind(t, dst, header(udp, 3), dhcp), packet.DHCPServer},
		"routing header":                     {behind(t, route, header(udp, 2), dhcp), packet.DHCPServer},
		"all of them":                        {behind(t, hop, header(dst, 0), header(route, 1), header(frag, 0), piece(dst, 0, true), header(udp, 0), dhcp), packet.DHCPServer},
		"first fragment":                     {behind(t, frag, piece(udp, 0, true), dhcp), packet.DHCPServer},
		"only fragment":                      {behind(t, frag, piece(udp, 0, false), dhcp), packet.DHCPServer},
		"fragment of a fragment":             {behind(t, frag, piece(frag, 0, true), piece(udp, 0, true), dhcp), packet.DHCPServer},
		"router behind options":              {behind(t, dst, header(icmp, 0), []byte{134, 0, 0, 0}), packet.Router},
		"redirect in a fragment":             {behind(t, frag, piece(icmp, 0, true), []byte{137, 0, 0, 0, 0, 0, 0, 0}), packet.Router},
		"client":                             {behind(t, dst, header(udp, 0), harmless), packet.Station},
		"client in a fragment":               {behind(t, frag, piece(udp, 0, true), harmless), packet.Station},
		"later fragment":                     {behind(t, frag, piece(udp, 1, false), dhcp), packet.Station},
		"report of listener":                 {behind(t, hop, header(icmp, 0), []byte{143, 0, 0, 0}), packet.Station},
		"TCP in a fragment":                  {behind(t, frag, piece(tcp, 0, true), dhcp), packet.Station},
		"nothing in a fragment":              {behind(t, frag, piece(none, 0, false)), packet.Station},
		"fragment without ports":             {behind(t, frag, piece(udp, 0, true), dhcp[:3]), packet.Hidden},
		"fragment ends in options":           {behind(t, frag, piece(dst, 0, true), header(udp, 1)[:8]), packet.Hidden},
		"fragment ends after options":        {behind(t, frag, piece(dst, 0, true), header(udp, 0)), packet.Hidden},
		"fragment without ICMPv6":            {behind(t, frag, piece(icmp, 0, true)), packet.Hidden},
		"fragment with ports behind its end": {told(behind(t, frag, piece(dst, 0, true), header(udp, 0), harmless), 16), packet.Hidden},
		"options cut short":                  {behind(t, dst, header(udp, 1)[:8]), packet.Station},
		"options behind the end":             {told(behind(t, dst, header(udp, 0), dhcp), 8), packet.Station},
		"no length before options":           {told(behind(t, hop, header(udp, 0), dhcp), 0), packet.DHCPServer},
	} {
		t.Run(name, func(t *testing.T) {
			if got := packet.Sender(c.frame); got != c.want {
				t.Errorf("got %d, want %d", got, c.want)
			}
		})
	}
}
