package scenario

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

func TestReadTraffic(t *testing.T) {
	name := filepath.Join(t.TempDir(), "capture.pcap")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	w := pcapgo.NewWriter(f)
	if err := w.WriteFileHeader(65536, layers.LinkTypeEthernet); err != nil {
		t.Fatal(err)
	}
	stun := append([]byte{0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42}, make([]byte, 12)...)
	for _, data := range [][]byte{
		datagram(t, stun), datagram(t, stun[:19]), datagram(t, []byte{192, 1}), datagram(t, []byte("\xc1the marker")), datagram(t, []byte{193}),
		datagram(t, append([]byte{193}, make([]byte, FrameSize-1)...)),
		relayed(t, []byte{0x40, 0, 0, 1, 'x'}), relayed(t, append([]byte{0, 0x16}, stun[2:]...)), relayed(t, stun),
		segment(t, "198.51.100.2", 5222), segment(t, "198.51.100.2", 5223), segment(t, "198.51.100.3", 5222),
	} {
		if err := w.WritePacket(gopacket.CaptureInfo{Timestamp: time.Now(), CaptureLength: len(data), Length: len(data)}, data); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	got, err := ReadTraffic(name, netip.MustParseAddrPort("198.51.100.2:5222"), []byte("marker"))
	if err != nil {
		t.Fatal(err)
	}
	got.FirstOther = ""
	ends := func(n int) map[netip.Addr]int {
		return map[netip.Addr]int{netip.MustParseAddr("203.0.113.11"): n, netip.MustParseAddr("203.0.113.12"): n}
	}
	if diff := cmp.Diff(Traffic{
		Relayed: map[string]int{"udp": 2}, STUN: 2, Handshake: 1, Record: 3, XMPP: 1, Other: 3, Marked: 1, Peers: ends(4), Frames: ends(1),
	}, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Error(diff)
	}
}

func datagram(t *testing.T, payload []byte) []byte {
	t.Helper()
	return packet(t, "203.0.113.12", &layers.UDP{SrcPort: 14790, DstPort: 14790}, payload)
}

func relayed(t *testing.T, payload []byte) []byte {
	t.Helper()
	return packet(t, "198.51.100.3", &layers.UDP{SrcPort: 40000, DstPort: 3478}, payload)
}

func segment(t *testing.T, to string, port layers.TCPPort) []byte {
	t.Helper()
	return packet(t, to, &layers.TCP{SrcPort: 40000, DstPort: port, SYN: true}, nil)
}

func packet(t *testing.T, to string, transport gopacket.SerializableLayer, payload []byte) []byte {
	t.Helper()
	ip := &layers.IPv4{Version: 4, TTL: 64, SrcIP: net.IPv4(203, 0, 113, 11), DstIP: net.ParseIP(to)}
	ip.Protocol = layers.IPProtocolUDP
	if transport.LayerType() == layers.LayerTypeTCP {
		ip.Protocol = layers.IPProtocolTCP
	}
	ether := &layers.Ethernet{SrcMAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, DstMAC: net.HardwareAddr{2, 0, 0, 0, 0, 2}, EthernetType: layers.EthernetTypeIPv4}
	b := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true}, ether, ip, transport, gopacket.Payload(payload)); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
