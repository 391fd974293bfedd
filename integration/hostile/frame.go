//go:build e2e

package hostile

import (
	"encoding/hex"
	"net"
	"net/netip"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

var everybody = net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// frame is an Ethernet frame with right lengths and checksums, and with the token at its end or,
// where only options may stand, in one.
func frame(t *testing.T, from, to net.HardwareAddr, token string, above ...gopacket.SerializableLayer) string {
	t.Helper()
	kind := layers.EthernetTypeIPv4
	switch above[0].(type) {
	case *layers.ARP:
		kind = layers.EthernetTypeARP
	case *layers.IPv6:
		kind = layers.EthernetTypeIPv6
	}
	all := append([]gopacket.SerializableLayer{&layers.Ethernet{SrcMAC: from, DstMAC: to, EthernetType: kind}}, above...)
	switch last := above[len(above)-1].(type) {
	case *layers.ICMPv6NeighborAdvertisement:
		last.Options = append(last.Options, tokenOption(token))
	case *layers.ICMPv6RouterAdvertisement:
		last.Options = append(last.Options, tokenOption(token))
	default:
		all = append(all, gopacket.Payload(token))
	}
	b := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, all...); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(b.Bytes())
}

// tokenOption is an option that nobody knows (RFC 4861 section 4.6, RFC 4727 section 5.1.3).
func tokenOption(token string) layers.ICMPv6Option {
	const head, unit = 2, 8
	for (head+len(token))%unit != 0 {
		token += " "
	}
	return layers.ICMPv6Option{Type: 253, Data: []byte(token)}
}

// udp4 and udp6 are the layers of a datagram.
func udp4(from, to netip.Addr, source, destination layers.UDPPort) []gopacket.SerializableLayer {
	ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP, SrcIP: from.AsSlice(), DstIP: to.AsSlice()}
	udp := &layers.UDP{SrcPort: source, DstPort: destination}
	_ = udp.SetNetworkLayerForChecksum(ip) // of a layer that has checksums
	return []gopacket.SerializableLayer{ip, udp}
}

func udp6(from, to netip.Addr, source, destination layers.UDPPort) []gopacket.SerializableLayer {
	ip := &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: layers.IPProtocolUDP, SrcIP: from.AsSlice(), DstIP: to.AsSlice()}
	udp := &layers.UDP{SrcPort: source, DstPort: destination}
	_ = udp.SetNetworkLayerForChecksum(ip) // of a layer that has checksums
	return []gopacket.SerializableLayer{ip, udp}
}

// arp is a reply that says which MAC address is behind an IPv4 address.
func arp(sender host, to host) gopacket.SerializableLayer {
	return &layers.ARP{
		AddrType: layers.LinkTypeEthernet, Protocol: layers.EthernetTypeIPv4, HwAddressSize: 6, ProtAddressSize: 4, Operation: layers.ARPReply,
		SourceHwAddress: sender.mac, SourceProtAddress: sender.v4.AsSlice(), DstHwAddress: to.mac, DstProtAddress: to.v4.AsSlice(),
	}
}

// icmp6 is the layers of a neighbour message.
func icmp6(from, to netip.Addr, kind uint8, body gopacket.SerializableLayer) []gopacket.SerializableLayer {
	ip := &layers.IPv6{Version: 6, HopLimit: 255, NextHeader: layers.IPProtocolICMPv6, SrcIP: from.AsSlice(), DstIP: to.AsSlice()}
	icmp := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(kind, 0)}
	_ = icmp.SetNetworkLayerForChecksum(ip) // of a layer that has checksums
	return []gopacket.SerializableLayer{ip, icmp, body}
}

// advertisement says which MAC address is behind an IPv6 address.
func advertisement(h host) gopacket.SerializableLayer {
	return &layers.ICMPv6NeighborAdvertisement{
		Flags: 0x20, TargetAddress: h.v6.AsSlice(),
		Options: layers.ICMPv6Options{{Type: layers.ICMPv6OptTargetAddress, Data: h.mac}},
	}
}

func one(l gopacket.SerializableLayer) []gopacket.SerializableLayer {
	return []gopacket.SerializableLayer{l}
}
