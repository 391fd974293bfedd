package packet_test

import (
	"bytes"
	"net"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"evio/datapath/packet"
)

var (
	asker = packet.MAC{2, 0, 0, 0, 0, 1}
	owner = packet.MAC{2, 0, 0, 0, 0, 2}
	zero  = packet.MAC{}

	ip4a, ip4b = netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")
	ip6a, ip6b = netip.MustParseAddr("fd00::1"), netip.MustParseAddr("fd00::1:2:3")
	none4      = netip.IPv4Unspecified()
	none6      = netip.IPv6Unspecified()

	compareAddrs = cmpopts.EquateComparable(netip.Addr{})
)

// serialize builds a frame with the reference implementation.
func serialize(t testing.TB, l ...gopacket.SerializableLayer) []byte {
	t.Helper()
	buf := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, l...); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func ether(from, to packet.MAC, typ layers.EthernetType) *layers.Ethernet {
	return &layers.Ethernet{SrcMAC: from[:], DstMAC: to[:], EthernetType: typ}
}

func arpFrame(t testing.TB, op uint16, sha packet.MAC, spa netip.Addr, tpa netip.Addr) []byte {
	return serialize(t, ether(asker, packet.Broadcast, layers.EthernetTypeARP), &layers.ARP{
		AddrType: layers.LinkTypeEthernet, Protocol: layers.EthernetTypeIPv4, HwAddressSize: 6, ProtAddressSize: 4, Operation: op,
		SourceHwAddress: sha[:], SourceProtAddress: spa.AsSlice(), DstHwAddress: zero[:], DstProtAddress: tpa.AsSlice(),
	})
}

// ndFrame makes a neighbour message; no option if hw is zero.
func ndFrame(t testing.TB, kind uint8, src, dst, target netip.Addr, hw packet.MAC, change func(*layers.IPv6)) []byte {
	ip := &layers.IPv6{
		Version: 6, HopLimit: 255, NextHeader: layers.IPProtocolICMPv6, SrcIP: src.AsSlice(), DstIP: dst.AsSlice(),
	}
	if change != nil {
		change(ip)
	}
	icmp := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(kind, 0)}
	if err := icmp.SetNetworkLayerForChecksum(ip); err != nil {
		t.Fatal(err)
	}
	var options layers.ICMPv6Options
	if hw != zero {
		typ := layers.ICMPv6OptSourceAddress
		if kind == layers.ICMPv6TypeNeighborAdvertisement {
			typ = layers.ICMPv6OptTargetAddress
		}
		options = layers.ICMPv6Options{{Type: typ, Data: hw[:]}}
	}
	var body gopacket.SerializableLayer = &layers.ICMPv6NeighborSolicitation{TargetAddress: target.AsSlice(), Options: options}
	if kind == layers.ICMPv6TypeNeighborAdvertisement {
		body = &layers.ICMPv6NeighborAdvertisement{TargetAddress: target.AsSlice(), Options: options}
	}
	return serialize(t, ether(asker, packet.MAC{0x33, 0x33, 0xff, 3: 0, 4: 0, 5: 2}, layers.EthernetTypeIPv6), ip, icmp, body)
}

const (
	solicitation  = layers.ICMPv6TypeNeighborSolicitation
	advertisement = layers.ICMPv6TypeNeighborAdvertisement
)

var solicited = netip.MustParseAddr("ff02::1:ff02:3")

func TestViews(t *testing.T) {
	f := arpFrame(t, 1, asker, ip4a, ip4b)
	if !packet.Valid(f) || packet.Source(f) != asker || packet.Destination(f) != packet.Broadcast || packet.EtherType(f) != packet.TypeARP {
		t.Errorf("views of % x", f)
	}
	if packet.Valid(f[:13]) {
		t.Error("13 bytes are a header")
	}
	for mac, group := range map[packet.MAC]bool{packet.Broadcast: true, {1: 1}: false, {0x33, 0x33}: true, asker: false} {
		if packet.IsMulticast(mac) != group {
			t.Errorf("%v: group is %v", mac, !group)
		}
	}
	if packet.IsUnicast(zero) || packet.IsUnicast(packet.Broadcast) || !packet.IsUnicast(asker) {
		t.Error("unicast")
	}
}

func TestQuestion(t *testing.T) {
	tests := []struct {
		name  string
		frame []byte
		want  packet.Query
		ok    bool
	}{
		{"ARP request", arpFrame(t, 1, asker, ip4a, ip4b), packet.Query{Target: ip4b, Asker: asker, Source: ip4a}, true},
		{"ARP probe", arpFrame(t, 1, asker, none4, ip4b), packet.Query{Target: ip4b, Asker: asker, Source: none4, DAD: true}, true},
		{"ARP announcement", arpFrame(t, 1, asker, ip4b, ip4b), packet.Query{}, false},
		{"ARP reply", arpFrame(t, 2, asker, ip4a, ip4b), packet.Query{}, false},
		{"ARP for another", arpFrame(t, 1, owner, ip4a, ip4b), packet.Query{}, false},
		{"ARP for nobody", arpFrame(t, 1, asker, ip4a, none4), packet.Query{}, false},
		{"NS", ndFrame(t, solicitation, ip6a, solicited, ip6b, asker, nil), packet.Query{Target: ip6b, Asker: asker, Source: ip6a}, true},
		{"NS unicast without option", ndFrame(t, solicitation, ip6a, ip6b, ip6b, zero, nil), packet.Query{Target: ip6b, Asker: asker, Source: ip6a}, true},
		{"DAD", ndFrame(t, solicitation, none6, solicited, ip6b, zero, nil), packet.Query{Target: ip6b, Asker: asker, Source: none6, DAD: true}, true},
		{"DAD with option", ndFrame(t, solicitation, none6, solicited, ip6b, asker, nil), packet.Query{}, false},
		{"DAD to another group", ndFrame(t, solicitation, none6, netip.MustParseAddr("ff02::1"), ip6b, zero, nil), packet.Query{}, false},
		{"NS for another", ndFrame(t, solicitation, ip6a, solicited, ip6b, owner, nil), packet.Query{}, false},
		{"NS for itself", ndFrame(t, solicitation, ip6b, solicited, ip6b, asker, nil), packet.Query{}, false},
		{"NS for a group", ndFrame(t, solicitation, ip6a, solicited, netip.MustParseAddr("ff02::5"), asker, nil), packet.Query{}, false},
		{"NS routed", ndFrame(t, solicitation, ip6a, solicited, ip6b, asker, func(ip *layers.IPv6) { ip.HopLimit = 254 }), packet.Query{}, false},
		{"NA", ndFrame(t, advertisement, ip6a, ip6b, ip6a, asker, nil), packet.Query{}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, ok := packet.Question(test.frame)
			if ok != test.ok {
				t.Fatalf("question: %v, want %v", ok, test.ok)
			}
			if d := cmp.Diff(test.want, got, compareAddrs); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
	wrong := ndFrame(t, solicitation, ip6a, solicited, ip6b, asker, nil)
	wrong[56]++ // the checksum
	if _, ok := packet.Question(wrong); ok {
		t.Error("a wrong checksum passes")
	}
	tagged := serialize(t, ether(asker, packet.Broadcast, layers.EthernetTypeDot1Q),
		&layers.Dot1Q{VLANIdentifier: 5, Type: layers.EthernetTypeARP}, gopacket.Payload(arpFrame(t, 1, asker, ip4a, ip4b)[14:]))
	if _, ok := packet.Question(tagged); ok {
		t.Error("a tagged request is a question")
	}
}

func TestAnswerARP(t *testing.T) {
	for _, source := range []netip.Addr{ip4a, none4} {
		q, ok := packet.Question(arpFrame(t, 1, asker, source, ip4b))
		if !ok {
			t.Fatal("no question")
		}
		want := serialize(t, ether(owner, asker, layers.EthernetTypeARP), &layers.ARP{
			AddrType: layers.LinkTypeEthernet, Protocol: layers.EthernetTypeIPv4, HwAddressSize: 6, ProtAddressSize: 4, Operation: layers.ARPReply,
			SourceHwAddress: owner[:], SourceProtAddress: ip4b.AsSlice(), DstHwAddress: asker[:], DstProtAddress: source.AsSlice(),
		})
		if got := packet.Answer([]byte("x"), q, owner); !bytes.Equal(got[1:], want[:len(got)-1]) || got[0] != 'x' {
			t.Errorf("from %s: got  % x\nwant % x", source, got, want)
		}
	}
}

// advertised decodes an advertisement with the reference implementation, which
// also checks its lengths; the checksum is compared with a fresh one.
func advertised(t *testing.T, frame []byte) (*layers.Ethernet, *layers.IPv6, *layers.ICMPv6NeighborAdvertisement) {
	t.Helper()
	p := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.DecodeOptions{})
	if e := p.ErrorLayer(); e != nil {
		t.Fatal(e.Error())
	}
	eth, _ := p.Layer(layers.LayerTypeEthernet).(*layers.Ethernet)
	ip, _ := p.Layer(layers.LayerTypeIPv6).(*layers.IPv6)
	icmp, _ := p.Layer(layers.LayerTypeICMPv6).(*layers.ICMPv6)
	na, _ := p.Layer(layers.LayerTypeICMPv6NeighborAdvertisement).(*layers.ICMPv6NeighborAdvertisement)
	if eth == nil || ip == nil || icmp == nil || na == nil {
		t.Fatalf("no advertisement: %s", p)
	}
	sum := icmp.Checksum
	fresh := &layers.ICMPv6{TypeCode: icmp.TypeCode}
	if err := fresh.SetNetworkLayerForChecksum(ip); err != nil {
		t.Fatal(err)
	}
	serialize(t, ip, fresh, na)
	if fresh.Checksum != sum || ip.HopLimit != 255 {
		t.Errorf("checksum %#x, want %#x; hop limit %d", sum, fresh.Checksum, ip.HopLimit)
	}
	return eth, ip, na
}

func TestAnswerND(t *testing.T) {
	tests := []struct {
		name   string
		source netip.Addr
		toMAC  packet.MAC
		to     netip.Addr
		flags  uint8
	}{
		{"question", ip6a, asker, ip6a, 0x60},
		{"DAD", none6, packet.MAC{0x33, 0x33, 5: 1}, netip.MustParseAddr("ff02::1"), 0x20},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			q, ok := packet.Question(ndFrame(t, solicitation, test.source, solicited, ip6b, zero, nil))
			if !ok {
				t.Fatal("no question")
			}
			eth, ip, na := advertised(t, packet.Answer(nil, q, owner))
			if !bytes.Equal(eth.DstMAC, test.toMAC[:]) || !bytes.Equal(eth.SrcMAC, owner[:]) {
				t.Errorf("ethernet %v", eth)
			}
			if !ip.DstIP.Equal(net.IP(test.to.AsSlice())) || !ip.SrcIP.Equal(net.IP(ip6b.AsSlice())) {
				t.Errorf("ip %v", ip)
			}
			if na.Flags != test.flags || !na.TargetAddress.Equal(net.IP(ip6b.AsSlice())) || len(na.Options) != 1 ||
				na.Options[0].Type != layers.ICMPv6OptTargetAddress || !bytes.Equal(na.Options[0].Data, owner[:]) {
				t.Errorf("advertisement %+v", na)
			}
		})
	}
}

func TestAnnounce(t *testing.T) {
	got := packet.Announce(nil, ip4b, owner)
	a, ok := packet.ParseARP(got)
	want := packet.ARP{SenderMAC: owner, Sender: ip4b, Target: ip4b}
	if !ok || packet.Destination(got) != packet.Broadcast || packet.Source(got) != owner {
		t.Errorf("announcement % x", got)
	}
	if d := cmp.Diff(want, a, compareAddrs); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	eth, ip, na := advertised(t, packet.Announce(nil, ip6b, owner))
	if eth.DstMAC.String() != "33:33:00:00:00:01" || ip.DstIP.String() != "ff02::1" || na.Flags != 0x20 {
		t.Errorf("advertisement %v %v %v", eth, ip, na)
	}
	for _, addr := range []netip.Addr{ip4b, ip6b} {
		f := packet.Announce(nil, addr, owner)
		if _, ok := packet.Question(f); ok {
			t.Errorf("the announcement of %s is a question", addr)
		}
		if c, ok := packet.Claims(f); !ok || c != (packet.Claim{Addr: addr, MAC: owner}) {
			t.Errorf("the announcement of %s claims %+v, %v", addr, c, ok)
		}
	}
}

func TestClaims(t *testing.T) {
	tests := []struct {
		name  string
		frame []byte
		want  packet.Claim
		ok    bool
	}{
		{"ARP request", arpFrame(t, 1, asker, ip4a, ip4b), packet.Claim{Addr: ip4a, MAC: asker}, true},
		{"ARP reply for another", arpFrame(t, 2, owner, ip4a, ip4b), packet.Claim{Addr: ip4a, MAC: owner}, true},
		{"ARP probe", arpFrame(t, 1, asker, none4, ip4b), packet.Claim{}, false},
		{"NS", ndFrame(t, solicitation, ip6a, solicited, ip6b, owner, nil), packet.Claim{Addr: ip6a, MAC: owner}, true},
		{"NS without option", ndFrame(t, solicitation, ip6a, solicited, ip6b, zero, nil), packet.Claim{Addr: ip6a, MAC: asker}, true},
		{"NA", ndFrame(t, advertisement, ip6a, ip6a, ip6b, owner, nil), packet.Claim{Addr: ip6b, MAC: owner}, true},
		{"NA without option", ndFrame(t, advertisement, ip6a, ip6a, ip6b, zero, nil), packet.Claim{Addr: ip6b, MAC: asker}, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, ok := packet.Claims(test.frame)
			if ok != test.ok || (ok && got != test.want) {
				t.Errorf("got %+v, %v", got, ok)
			}
		})
	}
	dad := ndFrame(t, solicitation, none6, solicited, ip6b, zero, nil)
	if c, ok := packet.Claims(dad); ok {
		t.Errorf("DAD claims %+v", c)
	}
}

func TestProbe(t *testing.T) {
	tests := []struct {
		name  string
		frame []byte
		want  packet.Claim
		ok    bool
	}{
		{"ARP probe", arpFrame(t, 1, asker, none4, ip4b), packet.Claim{Addr: ip4b, MAC: asker}, true},
		{"ARP probe for another MAC", arpFrame(t, 1, owner, none4, ip4b), packet.Claim{Addr: ip4b, MAC: owner}, true},
		{"ARP for nothing", arpFrame(t, 1, asker, none4, none4), packet.Claim{}, false},
		{"ARP request", arpFrame(t, 1, asker, ip4a, ip4b), packet.Claim{}, false},
		{"DAD", ndFrame(t, solicitation, none6, solicited, ip6b, zero, nil), packet.Claim{Addr: ip6b, MAC: asker}, true},
		{"NS", ndFrame(t, solicitation, ip6a, solicited, ip6b, zero, nil), packet.Claim{}, false},
		{"NA", ndFrame(t, advertisement, ip6a, ip6a, ip6b, owner, nil), packet.Claim{}, false},
		{"short", []byte{1, 2, 3}, packet.Claim{}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, ok := packet.Probe(test.frame)
			if ok != test.ok || (ok && got != test.want) {
				t.Errorf("got %+v, %v", got, ok)
			}
		})
	}
}

func TestNothingIsAllocated(t *testing.T) {
	arp, nd := arpFrame(t, 1, asker, ip4a, ip4b), ndFrame(t, solicitation, ip6a, solicited, ip6b, asker, nil)
	buf := make([]byte, 0, 256)
	if n := testing.AllocsPerRun(100, func() {
		for _, f := range [][]byte{arp, nd} {
			q, ok := packet.Question(f)
			if !ok {
				t.Error("no question")
			}
			buf = packet.Answer(buf[:0], q, owner)
			buf = packet.Announce(buf[:0], q.Target, owner)
			packet.Claims(buf)
			packet.Probe(f)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkQuestionAndAnswer(b *testing.B) {
	nd := ndFrame(b, solicitation, ip6a, solicited, ip6b, asker, nil)
	buf := make([]byte, 0, 256)
	b.ReportAllocs()
	for b.Loop() {
		if q, ok := packet.Question(nd); ok {
			buf = packet.Answer(buf[:0], q, owner)
		}
	}
}

// FuzzFrame reads any bytes as frames, and whatever is a question must have an
// answer that the asker can take.
func FuzzFrame(f *testing.F) {
	f.Add(arpFrame(f, 1, asker, ip4a, ip4b))
	f.Add(arpFrame(f, 1, asker, none4, ip4b))
	f.Add(arpFrame(f, 2, asker, ip4a, ip4b))
	f.Add(ndFrame(f, solicitation, ip6a, solicited, ip6b, asker, nil))
	f.Add(ndFrame(f, solicitation, none6, solicited, ip6b, zero, nil))
	f.Add(ndFrame(f, advertisement, ip6a, ip6b, ip6a, asker, nil))
	f.Add(ndFrame(f, 134, ip6a, ip6b, ip6a, zero, nil))
	f.Fuzz(func(t *testing.T, frame []byte) {
		_, probed := packet.Probe(frame)
		if _, claims := packet.Claims(frame); claims && probed {
			t.Errorf("%x is both a claim and a probe", frame)
		}
		q, ok := packet.Question(frame)
		if ok && q.DAD != probed {
			t.Errorf("%+v is a probe: %v", q, probed)
		}
		if !ok {
			packet.Claims(frame)
			return
		}
		answer := packet.Answer(nil, q, owner)
		c, ok := packet.Claims(answer)
		if !ok || c != (packet.Claim{Addr: q.Target, MAC: owner}) {
			t.Errorf("the answer to %+v claims %+v, %v", q, c, ok)
		}
		if a, ok := packet.ParseARP(answer); ok && (a.TargetMAC != q.Asker || a.Target != q.Source) {
			t.Errorf("the answer to %+v is %+v", q, a)
		}
		if n, ok := packet.ParseNeighbour(answer); ok && !q.DAD && n.Destination != q.Source {
			t.Errorf("the answer to %+v is %+v", q, n)
		}
	})
}
