//go:build e2e

package hostile

import (
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

// forgedToken is in every frame that must not arrive.
const forgedToken = "forged by somebody"

// forgery is a frame, and why it is refused.
type forgery struct {
	name    string
	flooded bool // it is for all
	frame   string
	cause   string // empty: it is honest
	token   string
}

// linkLocalOf is the address that the kernel makes of a MAC address (RFC 4291 appendix A).
func linkLocalOf(mac net.HardwareAddr) netip.Addr {
	return netip.AddrFrom16([16]byte{0xfe, 0x80, 8: mac[0] ^ 2, mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5]})
}

// forgeries is the table of what a station can send to a victim, with what is another's.
func forgeries(t *testing.T, me, victim, other host) []forgery {
	t.Helper()
	var (
		all       = netip.MustParseAddr("ff02::1")
		groups    = net.HardwareAddr{0x33, 0x33, 0, 0, 0, 1}
		bridges   = net.HardwareAddr{1, 0x80, 0xc2, 0, 0, 0}
		broadcast = netip.MustParseAddr(fmt.Sprintf("10.%d.255.255", open.Net))
		local     = linkLocalOf(me.mac)
		stolen    = host{me.mac, other.v4, other.v6}
		theirs    = host{me.mac, victim.v4, victim.v6}
		router    = func() gopacket.SerializableLayer {
			return &layers.ICMPv6RouterAdvertisement{HopLimit: 64, RouterLifetime: 1800}
		}
		advertised = func(h host) []gopacket.SerializableLayer {
			return icmp6(me.v6, all, layers.ICMPv6TypeNeighborAdvertisement, advertisement(h))
		}
		list []forgery
	)
	honest := func(name string, to net.HardwareAddr, above ...gopacket.SerializableLayer) {
		token := "token of: " + name + "."
		list = append(list, forgery{name, to[0]&1 != 0, frame(t, me.mac, to, token, above...), "", token})
	}
	from := func(mac net.HardwareAddr, name, cause string, to net.HardwareAddr, above ...gopacket.SerializableLayer) {
		list = append(list, forgery{name, to[0]&1 != 0, frame(t, mac, to, forgedToken, above...), cause, forgedToken})
	}
	forged := func(name, cause string, to net.HardwareAddr, above ...gopacket.SerializableLayer) {
		from(me.mac, name, cause, to, above...)
	}
	honest("data of IPv4", victim.mac, udp4(me.v4, victim.v4, 9, 9)...)
	honest("data of IPv6", victim.mac, udp6(me.v6, victim.v6, 9, 9)...)
	honest("broadcast", everybody, udp4(me.v4, broadcast, 9, 9)...)
	honest("ARP", everybody, arp(me, me))
	honest("advertisement", groups, advertised(me)...)

	from(other.mac, "MAC of another", "source-not-owned", victim.mac, udp4(me.v4, victim.v4, 9, 9)...)
	from(other.mac, "broadcast with the MAC of another", "source-not-owned", everybody, udp4(other.v4, broadcast, 9, 9)...)
	forged("IPv4 address of another", "address-not-owned", victim.mac, udp4(other.v4, victim.v4, 9, 9)...)
	forged("IPv6 address of another", "address-not-owned", victim.mac, udp6(other.v6, victim.v6, 9, 9)...)
	forged("broadcast with the address of another", "address-not-owned", everybody, udp4(other.v4, broadcast, 9, 9)...)
	forged("ARP of another", "address-not-owned", victim.mac, arp(stolen, victim))
	forged("ARP of another for all", "address-not-owned", everybody, arp(stolen, stolen))
	forged("ARP for the receiver", "address-not-owned", everybody, arp(theirs, victim))
	forged("ARP probe for another's address", "address-not-owned", everybody, arpProbe(me, other))
	forged("advertisement of another", "address-not-owned", groups, advertised(stolen)...)
	forged("probe for another's address", "address-not-owned", groups,
		icmp6(netip.IPv6Unspecified(), all, layers.ICMPv6TypeNeighborSolicitation, &layers.ICMPv6NeighborSolicitation{TargetAddress: other.v6.AsSlice()})...)
	forged("router advertisement", "router-or-dhcp", groups, icmp6(local, all, layers.ICMPv6TypeRouterAdvertisement, router())...)
	forged("router advertisement to one", "router-or-dhcp", victim.mac, icmp6(local, all, layers.ICMPv6TypeRouterAdvertisement, router())...)
	forged("redirect", "router-or-dhcp", victim.mac, icmp6(local, victim.v6, layers.ICMPv6TypeRedirect, gopacket.Payload(make([]byte, 36)))...)
	for _, source := range []layers.UDPPort{67, 1067} {
		forged(fmt.Sprintf("DHCP server from port %d", source), "router-or-dhcp", everybody, udp4(me.v4, netip.MustParseAddr("255.255.255.255"), source, 68)...)
	}
	for _, source := range []layers.UDPPort{547, 1547} {
		forged(fmt.Sprintf("DHCPv6 server from port %d", source), "router-or-dhcp", victim.mac, udp6(me.v6, victim.v6, source, 546)...)
	}
	forged("for a bridge", "malformed", bridges, udp4(me.v4, broadcast, 9, 9)...)
	forged("for an address that the receiver does not have", "not-its-address", victim.mac,
		udp4(me.v4, netip.MustParseAddr("192.0.2.7"), 9, 9)...)
	twice := advertisement(me).(*layers.ICMPv6NeighborAdvertisement)
	twice.Options = slices.Insert(twice.Options, 0, layers.ICMPv6Option{Type: layers.ICMPv6OptTargetAddress, Data: other.mac})
	forged("advertisement with an option twice", "malformed", groups, icmp6(me.v6, all, layers.ICMPv6TypeNeighborAdvertisement, twice)...)

	edit := func(name string, of string, f func([]byte) []byte) {
		b, err := hex.DecodeString(of)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, forgery{name, b[0]&1 != 0, hex.EncodeToString(f(b)), "malformed", forgedToken})
	}
	lie := frame(t, me.mac, groups, forgedToken, advertised(stolen)...)
	edit("advertisement in the tag of VLAN 0", lie, func(b []byte) []byte { return slices.Insert(b, 12, 0x81, 0, 0, 0) })
	edit("advertisement in a first fragment", lie, func(b []byte) []byte {
		const ip, header = 14, 40
		next := b[ip+6]
		b[ip+6] = 44
		length := int(b[ip+4])<<8 + int(b[ip+5]) + 8
		b[ip+4], b[ip+5] = byte(length>>8), byte(length)
		return slices.Insert(b, ip+header, next, 0, 0, 1, 0, 0, 0, 7)
	})
	return list
}

// arpProbe asks for an address as RFC 5227 has it.
func arpProbe(me, target host) gopacket.SerializableLayer {
	return &layers.ARP{
		AddrType: layers.LinkTypeEthernet, Protocol: layers.EthernetTypeIPv4, HwAddressSize: 6, ProtAddressSize: 4, Operation: layers.ARPRequest,
		SourceHwAddress: me.mac, SourceProtAddress: make([]byte, 4), DstHwAddress: make([]byte, 6), DstProtAddress: target.v4.AsSlice(),
	}
}
