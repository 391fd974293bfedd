//go:build e2e

package docker

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

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
		c, err := s.Router.Capture(scenario.Within(t, 20*time.Second), "wan", "")
		if err != nil {
			t.Fatal(err)
		}
		captures[s.Name()] = c
	}
	n := scenario.Network{Name: "privacy", Overlay: "privacy", Net: 25}
	scenario.StartOverlay(t, d, n) // while capturing: first contact is part of it
	marker := make([]byte, 32)
	if _, err := rand.Read(marker); err != nil {
		t.Fatal(err)
	}
	scenario.Pairs(d, func(from, to *scenario.Site) { sendMarker(t, from, to, n, marker) })

	xmpp, _, err := net.SplitHostPort(d.Lab.Internet().XMPP.StartTLSAddress())
	if err != nil {
		t.Fatal(err)
	}
	server := strings.Fields(lookup(t, d.Sites[0], xmpp))[0]
	routers := map[netip.Addr]bool{}
	for _, s := range d.Sites {
		routers[s.Router.WAN()] = true
	}
	for site, c := range captures {
		file, err := c.Stop(scenario.Within(t, 10*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		traffic, err := scenario.ReadTraffic(file, netip.AddrPortFrom(netip.MustParseAddr(server), 5222), marker)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("site %s: %d STUN, %d handshake, %d record, %d XMPP, sessions between %v",
			site, traffic.STUN, traffic.Handshake, traffic.Record, traffic.XMPP, traffic.Peers)
		if traffic.STUN == 0 || traffic.Handshake == 0 || traffic.Record == 0 || traffic.XMPP == 0 {
			t.Errorf("site %s: a class of packets is missing, so nothing was shown", site)
		}
		if traffic.Other > 0 {
			t.Errorf("site %s: %d unexpected packets, the first: %s", site, traffic.Other, traffic.FirstOther)
		}
		if traffic.Marked > 0 {
			t.Errorf("site %s: the marker can be read in %d packets", site, traffic.Marked)
		}
		for peer := range traffic.Peers {
			if !routers[peer] {
				t.Errorf("site %s: a session's packets go by %s, which is no site's router", site, peer)
			}
		}
	}
}

func lookup(t *testing.T, s *scenario.Site, host string) string {
	t.Helper()
	out, err := s.Run(scenario.Within(t, 10*time.Second), "getent", "ahostsv4", host)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// sendMarker lets a container say the marker by ICMP, UDP, TCP and HTTP, and checks
// that it arrived.
func sendMarker(t *testing.T, from, to *scenario.Site, n scenario.Network, marker []byte) {
	t.Helper()
	src, dst := scenario.ContainerName(from, n), scenario.ContainerName(to, n)
	here, _ := scenario.Addresses(t, from, src, n.Name)
	there, _ := scenario.Addresses(t, to, dst, n.Name)
	macOf := func(s *scenario.Site, c string) string {
		return strings.TrimSpace(scenario.Exec(t, s, c, "cat", "/sys/class/net/eth0/address"))
	}
	inside, err := to.CaptureContainer(scenario.Within(t, 10*time.Second), dst, "eth0", "")
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
	scenario.Exec(t, from, src, "probe", "raw-send", "-mac-src", macOf(from, src), "-mac-dst", macOf(to, dst),
		"-type", "0x0800", "-payload", hex.EncodeToString(echo.Bytes()))
	raw := `printf '` + escaped(marker) + `'`
	scenario.Exec(t, from, src, "sh", "-c", raw+" | socat -u - UDP4:"+there+":9")
	scenario.Exec(t, to, dst, "sh", "-c", "socat -u TCP4-LISTEN:9099,reuseaddr OPEN:/tmp/tcp,creat,trunc >/dev/null 2>&1 & probe http-serve -listen :8088 -body ok >/dev/null 2>&1 &")
	scenario.Exec(t, from, src, "sh", "-c", raw+" >/tmp/marker; for i in 1 2 3 4 5 6 7 8 9; do socat -u OPEN:/tmp/marker TCP4:"+there+":9099 && exit 0; sleep 0.2; done; exit 1")
	scenario.Exec(t, from, src, "sh", "-c", "{ printf 'GET / HTTP/1.0\\r\\nX-Marker: '; cat /tmp/marker; printf '\\r\\n\\r\\n'; } >/tmp/request; "+
		"for i in 1 2 3 4 5 6 7 8 9; do socat -t 1 - TCP4:"+there+":8088 </tmp/request && exit 0; sleep 0.2; done; exit 1")
	file, err := inside.Stop(scenario.Within(t, 10*time.Second))
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
