package network

import (
	"bytes"
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"evio/datapath/frame"
	"evio/datapath/packet"
	"evio/driver/network/loop"
	"evio/driver/plane"
)

// heard is a device that keeps what is written to it.
type heard struct {
	idle
	frames [][]byte
}

func (d *heard) WriteFrames(frames []frame.Frame) (int, error) {
	for _, f := range frames {
		d.frames = append(d.frames, bytes.Clone(f.Data))
	}
	return len(frames), nil
}

// TestLoopIsMutedAndNamed: a container from whose port an own probe comes back has no
// port until a minute is over, and the status names it.
func TestLoopIsMutedAndNamed(t *testing.T) {
	n := bare(t)
	out := &heard{idle: "evf0"}
	n.fabric = out
	n.switched = newApplier(n.log, func(context.Context) error { return nil })
	n.loops.watch = loop.New(nobodysMAC(), newLoopNumber)
	spec := plane.EndpointSpec{ID: "e", HostIf: "evh1", MAC: [6]byte{2, 1}, Addrs: []netip.Addr{netip.MustParseAddr("10.9.0.5")}}
	n.endpoints["e"] = &endpoint{spec: spec}
	now := time.Now()

	n.loops.tick(now)
	if len(out.frames) != 0 {
		t.Fatal("a probe although nothing goes to all")
	}
	n.loops.frames.Add(1)
	n.loops.tick(now)
	if len(out.frames) != 1 {
		t.Fatalf("%d probes", len(out.frames))
	}
	probe := out.frames[0]
	if src := packet.Source(probe); !packet.IsUnicast(src) || src[0]&2 == 0 {
		t.Errorf("source %x", src)
	}
	if n.loops.came("e", append(bytes.Clone(probe[:12]), 0x08, 0x06), now) {
		t.Error("another frame is taken for a probe")
	}
	foreign := packet.LoopProbe(nil, packet.MAC{6}, packet.LoopNumber{1})
	if !n.loops.came("e", foreign, now) || n.loops.muted("e") || n.drops.byCause()["loop-probe"] != 1 {
		t.Error("another engine's probe is not counted, or mutes")
	}
	if !n.loops.came("e", probe, now) || !n.loops.muted("e") || !n.containerPort(&endpoint{spec: spec}, nil).Mute {
		t.Fatal("not muted")
	}
	faults := n.loops.faults()
	if len(faults) != 1 || !strings.Contains(faults[0], "10.9.0.5") || !strings.Contains(faults[0], "take one of the two bridges away") {
		t.Errorf("faults %q", faults)
	}
	n.loops.tick(now.Add(loop.MutedFor - 1))
	if !n.loops.muted("e") {
		t.Error("ends too early")
	}
	n.loops.tick(now.Add(loop.MutedFor))
	if n.loops.muted("e") || len(n.loops.faults()) != 0 || n.loops.count() != 1 {
		t.Error("does not end")
	}

	n.loops.tick(now.Add(loop.MutedFor + loop.Every))
	if n.loops.came("e", out.frames[len(out.frames)-1], now.Add(loop.MutedFor+loop.Every)); !n.loops.muted("e") {
		t.Error("not found again")
	}
	n.loops.forget("e")
	if n.loops.muted("e") {
		t.Error("a container that is gone is muted")
	}
}

// In other networks than open ones nothing is sent, and nobody muted.
func TestNoLoopsButInOpenNetworks(t *testing.T) {
	for _, guard := range []string{plane.GuardStrict, plane.GuardClaim} {
		n := bare(t)
		n.spec.Guard = guard
		n.loops.start(t.Context())
		if n.loops.watch != nil || n.loops.muted("e") || n.loops.count() != 0 || n.loops.faults() != nil {
			t.Errorf("%s: loops are looked for", guard)
		}
		if probe := packet.LoopProbe(nil, packet.MAC{6}, packet.LoopNumber{1}); !n.loops.came("e", probe, time.Now()) {
			t.Errorf("%s: a probe goes on", guard)
		}
	}
}
