//go:build component

package ovs

import (
	"net"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

var everybody = MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// draft is an Ethernet frame under construction; mark is found in it by markOf.
type draft struct {
	from, to MAC
	vlan     int // −1: untagged
	mark     string
}

func newFrame(from, to MAC, mark string) draft {
	return draft{from: from, to: to, vlan: -1, mark: mark}
}

func (f draft) tagged(vlan int) draft { f.vlan = vlan; return f }

func (f draft) build(t *testing.T, etherType layers.EthernetType, upper ...gopacket.SerializableLayer) []byte {
	t.Helper()
	eth := &layers.Ethernet{SrcMAC: f.from[:], DstMAC: f.to[:], EthernetType: etherType}
	all := []gopacket.SerializableLayer{eth}
	if f.vlan >= 0 {
		eth.EthernetType = layers.EthernetTypeDot1Q
		all = append(all, &layers.Dot1Q{VLANIdentifier: uint16(f.vlan), Type: etherType})
	}
	buf := gopacket.NewSerializeBuffer()
	opts := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(buf, opts, append(all, upper...)...); err != nil {
		t.Fatal(err)
	}
	return append(buf.Bytes(), "mark<"+f.mark+">"...) // padding behind the packet
}

func (f draft) other(t *testing.T) []byte {
	return f.build(t, 0x88b5, gopacket.Payload("local experiment"))
}

func (f draft) udp4(t *testing.T, src, dst string, dport uint16) []byte {
	ip := &layers.IPv4{
		Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP, SrcIP: net.ParseIP(src).To4(), DstIP: net.ParseIP(dst).To4(),
	}
	udp := &layers.UDP{SrcPort: 1, DstPort: layers.UDPPort(dport)}
	_ = udp.SetNetworkLayerForChecksum(ip)
	return f.build(t, layers.EthernetTypeIPv4, ip, udp, gopacket.Payload("hello"))
}
func (f draft) arp(t *testing.T, sha MAC, spa, tpa string) []byte {
	return f.build(t, layers.EthernetTypeARP, &layers.ARP{
		AddrType: 1, Protocol: layers.EthernetTypeIPv4, HwAddressSize: 6, ProtAddressSize: 4, Operation: 1,
		SourceHwAddress: sha[:], SourceProtAddress: net.ParseIP(spa).To4(),
		DstHwAddress: make([]byte, 6), DstProtAddress: net.ParseIP(tpa).To4(),
	})
}
func (f draft) udp6(t *testing.T, src, dst string) []byte {
	ip := &layers.IPv6{
		Version: 6, HopLimit: 64, NextHeader: layers.IPProtocolUDP, SrcIP: net.ParseIP(src), DstIP: net.ParseIP(dst),
	}
	udp := &layers.UDP{SrcPort: 1000, DstPort: 2000}
	_ = udp.SetNetworkLayerForChecksum(ip)
	return f.build(t, layers.EthernetTypeIPv6, ip, udp, gopacket.Payload("hello"))
}
