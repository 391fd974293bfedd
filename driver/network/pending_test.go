package network

import (
	"context"
	"crypto/ed25519"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gopacket/gopacket/layers"

	"evio/datapath/frame"
	"evio/datapath/packet"
	"evio/overlay"
	"evio/overlay/member"
)

// Frames that wait are given up in time though nothing else happens.
func TestHeldFramesExpireByThemselves(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		n := bare(t)
		port := &sink{idle: "evf0"}
		n.fabric = port
		key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
		book, err := member.Open(member.Config{Dir: dir, Key: key, Log: quiet()})
		if err != nil {
			t.Fatal(err)
		}
		n.switched = newApplier(n.log, func(context.Context) error { return nil })
		node := overlay.New(overlay.Config{Overlay: "blue", Key: key, Book: book, Fabric: fabric{n}, Log: quiet()})
		n.node.Store(node)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			node.Run(ctx)
		}()
		hold := func() {
			node.After(func() { n.pending.deliverOrHold(table(), there, told(theirs, unknown4, theirs), time.Now()) })
			synctest.Wait()
		}
		hold()
		<-time.After(time.Second)
		hold()
		for _, want := range []uint64{0, 1, 2} {
			if got := n.drops.notHolder.Load(); got != want {
				t.Errorf("%d given up, want %d", got, want)
			}
			<-time.After(time.Second + time.Millisecond)
			synctest.Wait()
		}
		// A worker of floods leaves such a frame to the node, and neither drops nor counts it.
		if (fabric{n}).Deliver(there, told(theirs, unknown4, theirs)) || len(port.frames) > 0 || n.drops.notHolder.Load() != 2 {
			t.Errorf("a frame that is not right by the directory: %d are injected, %d counted", len(port.frames), n.drops.notHolder.Load())
		}
		cancel()
		<-done
	})
}

// sink is a device that keeps what is written to it.
type sink struct {
	idle
	frames [][]byte
}

func (s *sink) WriteFrames(all []frame.Frame) (int, error) {
	for _, f := range all {
		s.frames = append(s.frames, slices.Clone(f.Data))
	}
	return len(all), nil
}

// told is ARP or an advertisement by a MAC address that addr is at mac.
func told(by overlay.MAC, addr netip.Addr, mac overlay.MAC) []byte {
	f := packet.Announce(nil, addr, mac)
	copy(f[6:12], by[:])
	return f
}

func udp(t testing.TB, from, to uint16) []byte {
	ip := &layers.IPv4{Version: 4, IHL: 5, TTL: 64, Protocol: layers.IPProtocolUDP, SrcIP: their4.AsSlice(), DstIP: our4.AsSlice()}
	u := &layers.UDP{SrcPort: layers.UDPPort(from), DstPort: layers.UDPPort(to)}
	if err := u.SetNetworkLayerForChecksum(ip); err != nil {
		t.Fatal(err)
	}
	return serialize(t, &layers.Ethernet{SrcMAC: theirs[:], DstMAC: ours[:], EthernetType: layers.EthernetTypeIPv4}, ip, u)
}

// A flooded frame that claims what nobody holds waits for the record, but nobody gets
// by it what another holds.
func TestFloodWaitsForTheRecord(t *testing.T) {
	now := time.Now()
	gained := overlay.NewTable(append(slices.Clone(table().Entries()),
		overlay.Entry{MAC: unknownMAC, Node: there}, overlay.Entry{Addr: unknown4, MAC: unknownMAC, Node: there}))
	elsewhere := overlay.NewTable(append(slices.Clone(table().Entries()),
		overlay.Entry{MAC: unknownMAC, Node: there}, overlay.Entry{MAC: ours, Node: here}, overlay.Entry{Addr: unknown4, MAC: ours, Node: here}))
	first := told(unknownMAC, unknown4, unknownMAC)
	for name, c := range map[string]struct {
		then  *overlay.Table
		after time.Duration
		want  int
		cause string
	}{
		"the record comes":           {gained, time.Second, 1, ""},
		"another node gets it":       {elsewhere, time.Second, 0, "address-not-owned"},
		"nothing comes":              {table(), pendingFor, 0, "source-not-owned"},
		"the record comes late":      {gained, pendingFor, 0, "source-not-owned"},
		"something else comes first": {table(), time.Second, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			n := bare(t)
			dev := &sink{idle: "evf0"}
			n.fabric = dev
			n.pending.deliverOrHold(table(), there, first, now)
			n.pending.release(c.then, now.Add(c.after))
			if len(dev.frames) != c.want {
				t.Errorf("delivered %d times", len(dev.frames))
			}
			if c.cause != "" && n.drops.byCause()[c.cause] != 1 || c.cause == "" && len(n.drops.byCause()) != 0 {
				t.Errorf("drops %v", n.drops.byCause())
			}
			n.pending.release(table(), now.Add(pendingFor))
			if len(n.pending.by) != 0 {
				t.Errorf("%d origins still wait", len(n.pending.by))
			}
		})
	}
}

func TestFloodAtOnce(t *testing.T) {
	n := bare(t)
	dev := &sink{idle: "evf0"}
	n.fabric = dev
	now := time.Now()
	n.pending.deliverOrHold(table(), there, told(theirs, their4, theirs), now)
	n.pending.deliverOrHold(table(), there, told(theirs, our4, theirs), now)
	n.pending.deliverOrHold(table(), there, udp(t, 67, 68), now)
	if len(dev.frames) != 1 || len(n.pending.by) != 0 || n.drops.notHolder.Load() != 1 || n.drops.role.Load() != 1 {
		t.Errorf("delivered %d, waiting %d, drops %v", len(dev.frames), len(n.pending.by), n.drops.byCause())
	}
	for range maxPending + 5 {
		n.pending.deliverOrHold(table(), there, told(theirs, unknown4, theirs), now)
	}
	n.pending.deliverOrHold(table(), here, told(ours, unknown4, ours), now) // one origin does not take another's room
	if len(n.pending.by[there]) != maxPending || len(n.pending.by[here]) != 1 || n.drops.notHolder.Load() != 6 {
		t.Errorf("waiting %d and %d, drops %v", len(n.pending.by[there]), len(n.pending.by[here]), n.drops.byCause())
	}
}
