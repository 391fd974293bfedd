//go:build e2e

package integration

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"evio/integration/scenario"
	"evio/integration/testbed"
)

// testPrivacy: on the sites' WAN links every UDP datagram is STUN, a handshake
// datagram or a record, the latter two from router to router without a relay, every
// TCP connection goes to the XMPP server, and nothing of what containers say can be
// read.
func testPrivacy(t *testing.T, d *scenario.Deployment) {
	captures := map[string]*testbed.Capture{}
	for _, s := range d.Sites {
		c, err := s.Router.Capture(within(t, 20*time.Second), "wan", "")
		if err != nil {
			t.Fatal(err)
		}
		captures[s.Name()] = c
	}
	n := scenario.Network{Name: "privacy", Overlay: "privacy", Net: 25}
	overlayOf(t, d, n) // while capturing: first contact is part of it
	marker := make([]byte, 32)
	if _, err := rand.Read(marker); err != nil {
		t.Fatal(err)
	}
	pairs(d, func(from, to *scenario.Site) { sendMarker(t, from, to, n, marker) })

	xmpp, _, err := net.SplitHostPort(d.Lab.Internet().XMPP.StartTLSAddress())
	if err != nil {
		t.Fatal(err)
	}
	server := strings.Fields(lookup(t, d.Sites[0], xmpp))[0]
	wan := wanLinks{xmpp: netip.MustParseAddr(server), routers: map[netip.Addr]bool{}, marker: marker}
	for _, s := range d.Sites {
		wan.routers[s.Router.WAN()] = true
	}
	for site, c := range captures {
		file, err := c.Stop(within(t, 10*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		count := wan.classify(t, site, file)
		t.Logf("site %s: %v", site, count)
		for _, class := range []string{"stun", "handshake", "record", "xmpp"} {
			if count[class] == 0 {
				t.Errorf("site %s: no packet of class %s was captured", site, class)
			}
		}
	}
}

func lookup(t *testing.T, s *scenario.Site, host string) string {
	t.Helper()
	out, err := s.Run(within(t, 10*time.Second), "getent", "ahostsv4", host)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// sendMarker lets a container say the marker by ICMP, UDP, TCP and HTTP, and checks
// that it arrived.
func sendMarker(t *testing.T, from, to *scenario.Site, n scenario.Network, marker []byte) {
	t.Helper()
	src, dst := name(from, n), name(to, n)
	here, _ := addresses(t, from, src, n.Name)
	there, _ := addresses(t, to, dst, n.Name)
	macOf := func(s *scenario.Site, c string) string {
		return strings.TrimSpace(exec(t, s, c, "cat", "/sys/class/net/eth0/address"))
	}
	inside, err := to.CaptureContainer(within(t, 10*time.Second), dst, "eth0", "")
	if err != nil {
		t.Fatal(err)
	}
	echo := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(echo, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true},
		&layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolICMPv4, SrcIP: net.ParseIP(here).To4(), DstIP: net.ParseIP(there).To4()},
		&layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(layers.ICMPv4TypeEchoRequest, 0), Id: 7, Seq: 1},
		gopacket.Payload(marker)); err != nil {
		t.Fatal(err)
	}
	exec(t, from, src, "probe", "raw-send", "-mac-src", macOf(from, src), "-mac-dst", macOf(to, dst),
		"-type", "0x0800", "-payload", hex.EncodeToString(echo.Bytes()))
	raw := `printf '` + escaped(marker) + `'`
	exec(t, from, src, "sh", "-c", raw+" | socat -u - UDP4:"+there+":9")
	exec(t, to, dst, "sh", "-c", "socat -u TCP4-LISTEN:9099,reuseaddr OPEN:/tmp/tcp,creat,trunc >/dev/null 2>&1 & probe http-serve -listen :8088 -body ok >/dev/null 2>&1 &")
	exec(t, from, src, "sh", "-c", raw+" >/tmp/marker; for i in 1 2 3 4 5 6 7 8 9; do socat -u OPEN:/tmp/marker TCP4:"+there+":9099 && exit 0; sleep 0.2; done; exit 1")
	exec(t, from, src, "sh", "-c", "{ printf 'GET / HTTP/1.0\\r\\nX-Marker: '; cat /tmp/marker; printf '\\r\\n\\r\\n'; } >/tmp/request; "+
		"for i in 1 2 3 4 5 6 7 8 9; do socat -t 1 - TCP4:"+there+":8088 </tmp/request && exit 0; sleep 0.2; done; exit 1")
	file, err := inside.Stop(within(t, 10*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if times := bytes.Count(got, marker); times < 4 {
		t.Errorf("%s → %s: the marker was seen %d times in the far container, want it by ICMP, UDP, TCP and HTTP", from.Name(), to.Name(), times)
	}
}

// escaped writes bytes for printf.
func escaped(b []byte) string {
	var s strings.Builder
	for _, c := range b {
		fmt.Fprintf(&s, "\\%03o", c)
	}
	return s.String()
}

// wanLinks is what may be seen on the sites' WAN links.
type wanLinks struct {
	xmpp    netip.Addr
	routers map[netip.Addr]bool
	marker  []byte // must not be seen
}

// classify counts the packets of a capture and reports those that should not be.
func (w wanLinks) classify(t *testing.T, site, file string) map[string]int {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // only read from
	r, err := pcapgo.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	for {
		data, _, err := r.ReadPacketData()
		if errors.Is(err, io.EOF) {
			return count
		}
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(data, w.marker) {
			t.Errorf("site %s: the marker is readable on the WAN link", site)
		}
		class, what := w.classOf(gopacket.NewPacket(data, r.LinkType(), gopacket.Lazy))
		count[class]++
		if class == "other" {
			t.Errorf("site %s: unexpected on the WAN link: %s", site, what)
		}
	}
}

// classOf names what a packet on a WAN link is.
func (w wanLinks) classOf(p gopacket.Packet) (class, what string) {
	if p.Layer(layers.LayerTypeARP) != nil {
		return "arp", ""
	}
	if p.Layer(layers.LayerTypeIPv6) != nil {
		return "ipv6 of the routers' own kernels", ""
	}
	ip, ok := p.Layer(layers.LayerTypeIPv4).(*layers.IPv4)
	if !ok {
		return "other", p.String()
	}
	src, dst := addrOfIP(ip.SrcIP), addrOfIP(ip.DstIP)
	if tcp, ok := p.Layer(layers.LayerTypeTCP).(*layers.TCP); ok {
		if (dst == w.xmpp && tcp.DstPort == 5222) || (src == w.xmpp && tcp.SrcPort == 5222) {
			return "xmpp", ""
		}
		return "other", p.String()
	}
	udp, ok := p.Layer(layers.LayerTypeUDP).(*layers.UDP)
	if !ok || len(udp.Payload) == 0 {
		return "other", p.String()
	}
	direct := w.routers[src] && w.routers[dst]
	switch b := udp.Payload; {
	case len(b) >= 20 && b[0] < 4 && bytes.Equal(b[4:8], []byte{0x21, 0x12, 0xa4, 0x42}):
		return "stun", ""
	case b[0] == 192 && direct:
		return "handshake", ""
	case b[0] == 193 && direct:
		return "record", ""
	}
	return "other", p.String()
}

func addrOfIP(ip net.IP) netip.Addr {
	a, _ := netip.AddrFromSlice(ip.To4())
	return a
}
