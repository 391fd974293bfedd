package scenario

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

// Traffic is what a capture holds, in packets.
type Traffic struct {
	STUN, Handshake, Record int // UDP datagrams
	XMPP                    int // TCP segments to and from the XMPP server
	Link                    int // ARP, and what the routers' own kernels say by IPv6
	Other                   int // anything else: on a WAN link there should be none
	FirstOther              string
	Peers                   map[netip.Addr]int // packets of sessions (handshake, record) by source and destination
	Frames                  map[netip.Addr]int // of these, records too large for a probe: with frames of containers
	Relayed                 map[string]int     // packets of TURN clients with data in them, by transport: udp, tcp, tls
	Marked                  int                // packets in which the marker can be read
}

// ReadTraffic classifies the packets of a capture file and looks for the marker.
func ReadTraffic(file string, xmpp netip.AddrPort, marker []byte) (t Traffic, err error) {
	f, err := os.Open(file) //nolint:gosec // a capture of ours
	if err != nil {
		return Traffic{}, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	t.Peers, t.Frames, t.Relayed = map[netip.Addr]int{}, map[netip.Addr]int{}, map[string]int{}
	r, err := pcapgo.NewReader(f)
	if err != nil {
		return Traffic{}, fmt.Errorf("capture %s: %w", file, err)
	}
	for {
		data, _, err := r.ReadPacketData()
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return t, nil // the second while the recording goes on
		}
		if err != nil {
			return Traffic{}, fmt.Errorf("capture %s: %w", file, err)
		}
		if bytes.Contains(data, marker) {
			t.Marked++
		}
		t.add(gopacket.NewPacket(data, r.LinkType(), gopacket.Lazy), xmpp)
	}
}

// add counts a packet by its kind. UDP datagrams are told apart by their first octet
// (RFC 7983).
func (t *Traffic) add(p gopacket.Packet, xmpp netip.AddrPort) {
	if p.Layer(layers.LayerTypeARP) != nil || p.Layer(layers.LayerTypeIPv6) != nil && p.TransportLayer() == nil {
		t.Link++
		return
	}
	if tcp, ok := p.Layer(layers.LayerTypeTCP).(*layers.TCP); ok {
		if ends(p, uint16(tcp.SrcPort), uint16(tcp.DstPort), xmpp) {
			t.XMPP++
			return
		}
		if transport, ok := turnPorts[min(tcp.SrcPort, tcp.DstPort)]; ok {
			if len(tcp.Payload) > 0 {
				t.Relayed[transport]++
			}
			return
		}
	}
	if udp, ok := p.Layer(layers.LayerTypeUDP).(*layers.UDP); ok && len(udp.Payload) > 0 {
		switch b := udp.Payload; {
		case min(udp.SrcPort, udp.DstPort) == turnPort && carriesData(b):
			t.Relayed["udp"]++
			return
		case len(b) >= 20 && b[0] < 4 && bytes.Equal(b[4:8], []byte{0x21, 0x12, 0xa4, 0x42}):
			t.STUN++
			return
		case b[0] == 192:
			t.Handshake++
			between(p, t.Peers)
			return
		case b[0] == 193:
			t.Record++
			between(p, t.Peers)
			if len(b) >= FrameSize {
				between(p, t.Frames)
			}
			return
		}
	}
	if t.Other++; t.Other == 1 {
		t.FirstOther = p.String()
	}
}

// turnPort is the one for UDP, turnPorts are those for TCP.
const turnPort = 3478

var turnPorts = map[layers.TCPPort]string{turnPort: "tcp", 5349: "tls"}

// carriesData reports whether a datagram of TURN is a ChannelData message, a Send or a
// Data indication (RFC 8656 sections 11 and 12).
func carriesData(b []byte) bool {
	return b[0]>>6 == 1 || len(b) > 1 && b[0] == 0 && (b[1] == 0x16 || b[1] == 0x17)
}

// FrameSize is what a record has at least, in bytes, to be counted among those with
// frames: far above any probe. An end may try routes with probes at any time, even routes that no
// NAT lets through.
const FrameSize = 512

// between counts a packet at its two ends.
func between(p gopacket.Packet, at map[netip.Addr]int) {
	source, destination := p.NetworkLayer().NetworkFlow().Endpoints()
	for _, end := range []gopacket.Endpoint{source, destination} {
		if a, ok := netip.AddrFromSlice(end.Raw()); ok {
			at[a]++
		}
	}
}

// ends reports whether one end of an IPv4 packet with these ports is the address.
func ends(p gopacket.Packet, source, destination uint16, a netip.AddrPort) bool {
	ip, ok := p.Layer(layers.LayerTypeIPv4).(*layers.IPv4)
	return ok && (ip.SrcIP.Equal(a.Addr().AsSlice()) && source == a.Port() ||
		ip.DstIP.Equal(a.Addr().AsSlice()) && destination == a.Port())
}
