//go:build !race

package session

import (
	"testing"

	"evio/datapath/frame"
	"evio/datapath/udp"
)

// The race detector has a sync.Pool forget things, so that it can see what comes of that.

// TestFramesNeedNoAllocation: neither way, with super-frames and with single ones.
func TestFramesNeedNoAllocation(t *testing.T) {
	from, to, sent, _ := pair(t)
	to.options.Handler = discard{}
	quiet := &hostOutlet{socket: idle{}, addr: from.path.Load().Local}
	p := *from.path.Load()
	p.out = quiet
	from.path.Store(&p)
	const runs = 100
	for name, f := range map[string]frame.Frame{"super-frame": superFrame(60000), "frame": {Data: superFrame(1000).Data}} {
		frames := []frame.Frame{f}
		if n := testing.AllocsPerRun(runs, func() {
			if err := from.SendFrames(frames); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("sending a %s: %.1f allocations, want none", name, n)
		}
		p := *from.path.Load()
		p.out = &hostOutlet{socket: sent, addr: p.Local}
		from.path.Store(&p)
		batches := make([][]udp.Datagram, 0, runs+1)
		for range runs + 1 {
			sent.runs = nil
			if err := from.SendFrames(frames); err != nil {
				t.Fatal(err)
			}
			batches = append(batches, sent.received())
		}
		if n := testing.AllocsPerRun(runs, func() {
			to.transport.deliver(batches[0])
			batches = batches[1:]
		}); n != 0 {
			t.Errorf("receiving a %s: %.1f allocations, want none", name, n)
		}
		p.out = quiet
		from.path.Store(&p)
	}
	if got := to.Info(); got.RxFrames == 0 || len(got.Drops) != 0 {
		t.Errorf("%d frames received, drops %v", got.RxFrames, got.Drops)
	}
}
