package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/netip"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

// started runs a command until the test ends and returns its events, the first being read.
func started(t *testing.T, args ...string) (first listening, events *json.Decoder) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	in, out := io.Pipe()
	done := make(chan error, 1)
	go func() {
		done <- run(ctx, out, args)
		_ = out.Close()
	}()
	t.Cleanup(func() {
		cancel()
		_, _ = io.Copy(io.Discard, in) // an event that nobody has waited for
		if err := <-done; err != nil {
			t.Errorf("%v: %v", args, err)
		}
	})
	events = json.NewDecoder(in)
	if err := events.Decode(&first); err != nil {
		t.Fatal(err)
	}
	return first, events
}

func TestUDP(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		server, events := started(t, "udp-recv", "-listen", address, "-echo")
		var sent bytes.Buffer
		if err := run(t.Context(), &sent, []string{"udp-send", "-to", server.Listening, "-token", "hello", "-size", "8"}); err != nil {
			t.Fatal(err)
		}
		var got datagram
		if err := events.Decode(&got); err != nil {
			t.Fatal(err)
		}
		if got.Token != "hello..." || got.Bytes != 8 {
			t.Errorf("%s: got %+v", address, got)
		}
	}
}

func TestPokeAndCount(t *testing.T) {
	server, events := started(t, "udp-recv", "-listen", "127.0.0.1:0")
	var out bytes.Buffer
	if err := run(t.Context(), &out, []string{"udp-recv", "-listen", "127.0.0.1:0", "-poke", server.Listening, "-token", "knock", "-for", "300ms"}); err != nil {
		t.Fatal(err)
	}
	var got datagram
	if err := events.Decode(&got); err != nil || got.Token != "knock" {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestTCPEcho(t *testing.T) {
	server, _ := started(t, "tcp-echo", "-listen", "127.0.0.1:0")
	if err := run(t.Context(), io.Discard, []string{"tcp-check", server.Listening}); err != nil {
		t.Error(err)
	}
	conn, err := net.Dial("tcp", server.Listening)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() }) // the server may have been first
	if _, err := conn.Write([]byte("ping")); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 4)
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != "ping" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestHTTP(t *testing.T) {
	server, _ := started(t, "http-serve", "-listen", "127.0.0.1:0", "-body", "hello")
	var out bytes.Buffer
	if err := run(t.Context(), &out, []string{"http-get", "http://" + server.Listening + "/"}); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Status       int
		Client, Body string
	}
	if err := json.Unmarshal(out.Bytes(), &got); err != nil || got.Status != 200 || got.Body != "hello" || got.Client == "" {
		t.Errorf("got %+v, %v", got, err)
	}
}

// A frame that a receiver drops for its checksum would make every spoofing test pass.
func TestForgedPacketIsValid(t *testing.T) {
	from, to := netip.MustParseAddr("10.1.2.3"), netip.MustParseAddr("10.1.2.255")
	for _, token := range []string{"", "x", "even", "odd.."} {
		raw := udpPacket(from, to, 4000, token)
		packet := gopacket.NewPacket(raw, layers.LayerTypeIPv4, gopacket.Default)
		if packet.ErrorLayer() != nil {
			t.Fatal(packet.ErrorLayer().Error())
		}
		ip := packet.NetworkLayer().(*layers.IPv4)
		udp := packet.TransportLayer().(*layers.UDP)
		if ip.SrcIP.String() != from.String() || ip.DstIP.String() != to.String() || udp.DstPort != 4000 || string(udp.Payload) != token {
			t.Errorf("token %q: %v", token, packet)
		}
		// Serialised again with computed checksums, it must not change.
		if err := udp.SetNetworkLayerForChecksum(ip); err != nil {
			t.Fatal(err)
		}
		buffer := gopacket.NewSerializeBuffer()
		options := gopacket.SerializeOptions{ComputeChecksums: true, FixLengths: true}
		if err := gopacket.SerializeLayers(buffer, options, ip, udp, gopacket.Payload(token)); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(buffer.Bytes(), raw) {
			t.Errorf("token %q: got\n%x, want\n%x", token, raw, buffer.Bytes())
		}
	}
}

func TestARPRequest(t *testing.T) {
	mac := net.HardwareAddr{2, 0, 0, 0, 0, 1}
	raw := arpRequest(mac, netip.MustParseAddr("10.1.2.3"), netip.MustParseAddr("10.1.2.4"))
	packet := gopacket.NewPacket(raw, layers.LayerTypeARP, gopacket.Default)
	arp, ok := packet.Layer(layers.LayerTypeARP).(*layers.ARP)
	if !ok || arp.Operation != layers.ARPRequest || net.IP(arp.SourceProtAddress).String() != "10.1.2.3" ||
		net.IP(arp.DstProtAddress).String() != "10.1.2.4" || !bytes.Equal(arp.SourceHwAddress, mac) {
		t.Errorf("got %v", packet)
	}
}

func TestUnknownCommand(t *testing.T) {
	for _, args := range [][]string{nil, {"dance"}} {
		if err := run(t.Context(), io.Discard, args); err == nil {
			t.Errorf("%v is no error", args)
		}
	}
}

func TestNames(t *testing.T) {
	server, _ := started(t, "name-serve", "-name", "me", "-listen", ":0")
	_, port, err := net.SplitHostPort(server.Listening)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := run(t.Context(), &out, []string{"name-ask", "-port", port, "-every", "20ms", "-for", "300ms", "127.0.0.1", "::1", "127.0.0.7"}); err != nil {
		t.Fatal(err)
	}
	events, seen := json.NewDecoder(&out), map[string]int{}
	for {
		var e named
		if events.Decode(&e) != nil {
			break
		}
		if e.Name != "me" || e.At == 0 {
			t.Errorf("got %+v", e)
		}
		seen[e.Address]++
	}
	if len(seen) != 3 || seen["127.0.0.1"] != 1 || seen["::1"] != 1 || seen["127.0.0.7"] != 1 {
		t.Errorf("got %v, want one answer of each of the three", seen)
	}
}
