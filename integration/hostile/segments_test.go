//go:build e2e

package hostile

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"evio/integration/scenario"
)

// Segments that a member sends together, with their checksums left to the receiver, are looked at
// one by one: those that are not its own are refused and counted, wherever they lie, and the others
// arrive.
func (f *federation) segments(t *testing.T) {
	const run = 5
	me, a, b := malloryHost(open), hostAt(t, f.a, open), hostAt(t, f.b, open)
	to := scenario.OverlayAt(t, f.b, open.Name).Node
	before := scenario.AwaitSession(t, time.Second, f.b, open.Name, f.mallory.JID)
	ear := scenario.Listen(t, f.b, open.Name)
	for _, c := range []struct {
		name    string
		sender  host
		to      []byte
		counter string
	}{
		{"MAC of another", host{a.mac, me.v4, me.v6}, b.mac, "source-not-owned"},
		{"address of another", host{me.mac, a.v4, a.v6}, b.mac, "address-not-owned"},
		{"broadcast", me, everybody, "malformed"},
	} {
		for _, places := range [][]int{{0}, {2}, {run - 1}, {0, 1, 2, 3, 4}} {
			t.Run(fmt.Sprintf("%s in %v", c.name, places), func(t *testing.T) {
				token := func(i int) string { return fmt.Sprintf("<%s in %v: %d>", c.name, places, i) }
				all := sent{To: to, Unfinished: true}
				for i := range run {
					sender, receiver := me, []byte(b.mac)
					if slices.Contains(places, i) {
						sender, receiver = c.sender, c.to
					}
					all.Frames = append(all.Frames, frame(t, sender.mac, receiver, token(i), segment(sender.v4, b.v4, i, len(token(i)))...))
				}
				counter := scenario.OfOverlay(open.Name, c.counter)
				counted := counter.Read(scenario.Document(t, f.b))
				f.member.ask(t, "POST /frames", all, nil)
				after := fmt.Sprintf("<after %s in %v>", c.name, places)
				f.member.ask(t, "POST /frames", sent{To: to, Frames: []string{frame(t, me.mac, b.mac, after, udp4(me.v4, b.v4, 9, 9)...)}}, nil)
				ear.Await(t, after)
				for i := range run {
					want := 1
					if slices.Contains(places, i) {
						want = 0
					}
					if came := ear.Heard(t, token(i)); came != want {
						t.Errorf("segment %d came %d times, want %d", i, came, want)
					}
				}
				scenario.Until(t, 5*time.Second, func() error {
					if now := counter.Read(scenario.Document(t, f.b)); now != counted+uint64(len(places)) {
						return fmt.Errorf("%d are counted, want %d", now-counted, len(places))
					}
					return nil
				})
			})
		}
	}
	scenario.Unchanged(t, f.b, open.Name, f.mallory.JID, before)
	pings(t, f.a, f.b)
}

// segment is the layers of one of a stream, each with so many bytes.
func segment(from, to netip.Addr, number, size int) []gopacket.SerializableLayer {
	ip := &layers.IPv4{Version: 4, Id: uint16(number), Flags: layers.IPv4DontFragment, TTL: 64, Protocol: layers.IPProtocolTCP, SrcIP: from.AsSlice(), DstIP: to.AsSlice()}
	tcp := &layers.TCP{SrcPort: 9, DstPort: 9, Seq: uint32(number * size), ACK: true, Window: 1000}
	_ = tcp.SetNetworkLayerForChecksum(ip) // of a layer that has checksums
	return []gopacket.SerializableLayer{ip, tcp}
}
