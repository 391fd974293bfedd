package claims

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"evio/datapath/packet"
	"evio/driver/network/admission"
)

// Whatever containers send and whenever they die, a key is at one container at a time and
// the directory says so, each frame is delivered or counted, and memory is bounded. What
// nobody answers for is free soon, and what one of those who want it has alone is its.
func TestClaimsHold(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := rules
		r.Mode = rapid.SampledFrom([]admission.Mode{admission.Claim, admission.Claim, admission.Open}).Draw(rt, "mode")
		w := newWorld(rt, 2, r)
		byAddr := []netip.Addr{vip, vip6, addr("10.1.0.201"), addr("10.1.0.2"), addr("10.1.0.3"), addr("10.1.0.1"), addr("192.0.2.9"), addr("fe80::77"), addr("169.254.1.1")}
		macs := []MAC{router, {0, 0, 0x5e, 0, 2, 9}, hw(2), hw(3), hw(99)}
		// Container n is at the engine that n is odd for.
		at := func(n byte) *engine { return w.engines[n%2] }
		name := func(n byte) string { return fmt.Sprint("box", n) }
		n := rapid.Custom(func(t *rapid.T) byte { return byte(rapid.IntRange(2, 5).Draw(t, "container")) })
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			c := n.Draw(rt, "of")
			e := at(c)
			b := e.boxes[name(c)]
			switch op := rapid.IntRange(0, 9).Draw(rt, "step"); {
			case b == nil:
				e.box(name(c), c)
			case op == 0:
				e.kill(name(c))
			case op == 1:
				a := rapid.SampledFrom(byAddr).Draw(rt, "has")
				b.has[a] = !b.has[a]
			case op == 2:
				w.slow = time.Duration(rapid.IntRange(1, 200).Draw(rt, "slow")) * time.Millisecond
			case op <= 4:
				w.run(time.Duration(rapid.SampledFrom([]int{10, 50, 120, 400, 1100, 31000}).Draw(rt, "ms")) * time.Millisecond)
			default:
				mac := b.mac
				if rapid.Bool().Draw(rt, "other MAC address") {
					mac = rapid.SampledFrom(macs).Draw(rt, "MAC")
				}
				a := rapid.SampledFrom(byAddr).Draw(rt, "address")
				frame := gratuitous(a, mac)
				if rapid.Bool().Draw(rt, "probe") {
					frame = packet.Ask(nil, a, packet.Broadcast, mac)
				}
				for range rapid.IntRange(1, 20).Draw(rt, "times") {
					e.send(name(c), frame)
				}
			}
			consistent(rt, w)
		}
		if rt.Failed() {
			return
		}
		// Then one container announces alone.
		for _, e := range w.engines {
			for _, b := range e.boxes {
				clear(b.has)
			}
		}
		w.slow = 20 * time.Millisecond
		w.run(time.Second)
		c := n.Draw(rt, "last")
		if at(c).boxes[name(c)] == nil {
			at(c).box(name(c), c)
		}
		at(c).boxes[name(c)].has[vip] = true
		at(c).send(name(c), gratuitous(vip, hw(c)))
		w.run(10 * time.Second) // others who have announced it may come first
		if got := w.holds(Key{Addr: vip}); got != name(c) && r.Mode == admission.Claim {
			rt.Errorf("the address is at %q, and %s announces it alone", got, name(c))
		}
		w.run(95 * time.Second) // what is wanted is remembered for 30 s, and kept for 30 s from when it is had
		consistent(rt, w)
		for _, e := range w.engines {
			for id := range e.boxes {
				granted := e.m.Granted(id)
				for _, have := range granted {
					if id != name(c) || have.Addr != vip && (len(granted) != 2 || have.MAC != granted[0].MAC) {
						rt.Errorf("%s keeps %v, for which nobody answers", id, have)
					}
				}
			}
		}
	})
}

func consistent(rt *rapid.T, w *world) {
	for _, e := range w.engines {
		seen, waiting, counted := map[Key]string{}, 0, 0
		for _, id := range slices.Sorted(maps.Keys(e.boxes)) {
			b := e.m.containers[id]
			waiting += len(b.waiting)
			addrs, macs, refused := 0, 0, 0
			for _, c := range e.m.Granted(id) {
				k := c.Key()
				if other := seen[k]; other != "" {
					rt.Errorf("%v is at %s and %s", k, other, id)
				}
				seen[k] = id
				if h, held := w.holders[k]; !c.LinkLocal() && (!held || h.at != e || h.given) {
					rt.Errorf("%s has %v, and the directory does not say so", id, k)
				}
				if c.Addr.IsValid() {
					addrs++
				} else {
					macs++
				}
			}
			for _, c := range b.claims {
				if !c.granted && !c.taking {
					refused++
				}
			}
			if addrs > MaxAddrs || macs > MaxOpenMACs || refused > maxRefused || b.waits(true) > maxPaused || b.waits(false) > maxHeld+maxPaused {
				rt.Errorf("%s: %d addresses, %d MAC addresses, %d refused, %d frames wait", id, addrs, macs, refused, len(b.waiting))
			}
		}
		for _, n := range e.counts {
			counted += n
		}
		if e.offered != e.passed+counted+waiting {
			rt.Errorf("%d frames: %d delivered, %d counted, %d wait", e.offered, e.passed, counted, waiting)
		}
		for k, h := range w.holders {
			if h.at == e && !h.given && seen[k] == "" {
				rt.Errorf("the directory gives %v to %s, where no container has it", k, e.id)
			}
		}
	}
}
