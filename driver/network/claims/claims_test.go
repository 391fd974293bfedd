package claims

import (
	"bytes"
	"net/netip"
	"testing"
	"time"

	"evio/datapath/packet"
	"evio/driver/network/admission"
)

// The frame that makes a claim is delivered after it.
func TestAnnouncementMakesAClaim(t *testing.T) {
	for _, a := range []netip.Addr{vip, vip6, addr("169.254.7.7"), addr("fe80::77")} {
		w := newWorld(t, 1, rules)
		e := w.engines[0]
		b := e.box("a", 2)
		frame := gratuitous(a, b.mac)
		e.send("a", frame)
		if len(b.sent) != 0 || w.holds(Key{Addr: a}) != "a" {
			t.Errorf("%s: %d delivered, at %q", a, len(b.sent), w.holds(Key{Addr: a}))
		}
		w.run(50 * time.Millisecond)
		if len(b.sent) != 1 || !bytes.Equal(b.sent[0], frame) {
			t.Errorf("%s: %x delivered", a, b.sent)
		}
	}
}

func TestOtherFramesMakeAClaim(t *testing.T) {
	mac := hw(2)
	ip4 := append(append(packet.Broadcast[:6:6], mac[:]...), 8, 0, 0x45, 0, 0, 20, 0, 0, 0, 0, 1, 17, 0, 0, 10, 1, 0, 200, 10, 1, 0, 9)
	q := packet.Query{Target: vip, Asker: hw(9), Source: addr("10.1.0.9")}
	for name, frame := range map[string][]byte{
		"packet": ip4, "answer": packet.Answer(nil, q, mac), "probe": packet.Ask(nil, vip, packet.Broadcast, mac),
	} {
		w := newWorld(t, 1, rules)
		b := w.engines[0].box("a", 2)
		w.engines[0].send("a", frame)
		w.run(50 * time.Millisecond)
		if len(b.sent) != 1 || w.holds(Key{Addr: vip}) != "a" {
			t.Errorf("%s: %d delivered, at %q", name, len(b.sent), w.holds(Key{Addr: vip}))
		}
	}
}

func TestWhatNoContainerMayClaim(t *testing.T) {
	mac := hw(2)
	other := gratuitous(vip, hw(7))
	copy(other[6:], mac[:])
	for name, frame := range map[string][]byte{
		"outside of the subnets": gratuitous(addr("192.0.2.1"), mac),
		"multicast":              gratuitous(addr("224.0.0.1"), mac),
		"loopback":               gratuitous(addr("127.0.0.1"), mac),
		"another's MAC address":  other,
		"foreign MAC address":    gratuitous(vip, hw(7)),
		"gateway":                gratuitous(addr("10.1.0.1"), mac),
		"short":                  {1, 2, 3},
		"made of another's MAC":  gratuitous(addr("fe80::ff:fe00:7"), mac),
	} {
		w := newWorld(t, 1, rules)
		e := w.engines[0]
		b := e.box("a", 2)
		e.send("a", frame)
		w.run(time.Second)
		if len(b.sent) != 0 || len(e.m.Granted("a")) != 0 || e.counts[Outside] != 1 {
			t.Errorf("%s: %d delivered, has %v, counted %v", name, len(b.sent), e.m.Granted("a"), e.counts)
		}
	}
}

// A frame whose claim takes longer is given up, and the engine announces it in its place.
func TestLateClaimIsAnnounced(t *testing.T) {
	w := newWorld(t, 1, rules)
	w.slow = 150 * time.Millisecond
	e := w.engines[0]
	b := e.box("a", 2)
	e.send("a", gratuitous(vip, b.mac))
	w.run(200 * time.Millisecond)
	if len(b.sent) != 0 || e.counts[Delayed] != 1 || len(e.announce) != 1 || e.announce[0] != (Claim{vip, b.mac}) {
		t.Errorf("%d delivered, counted %v, announced %v", len(b.sent), e.counts, e.announce)
	}
}

// What came with the frame that made the claim is delivered too, and what comes much
// later, though the flows should take it, does not go round for ever.
func TestFramesInARow(t *testing.T) {
	w := newWorld(t, 1, rules)
	e := w.engines[0]
	b := e.box("a", 2)
	for range 5 {
		e.send("a", gratuitous(vip, b.mac))
	}
	w.run(100 * time.Millisecond)
	if len(b.sent) != 5 {
		t.Errorf("%d delivered", len(b.sent))
	}
	w.run(time.Second)
	e.send("a", gratuitous(vip, b.mac))
	if len(b.sent) != 5 || e.counts[Delayed] != 1 {
		t.Errorf("%d delivered, counted %v", len(b.sent), e.counts)
	}
}

// A switch that goes by earlier flows for a while, and asks about a frame again each time it
// is put back, is not asked to do so as fast as it can.
func TestFrameThatComesBack(t *testing.T) {
	w := newWorld(t, 1, rules)
	e := w.engines[0]
	b := e.box("a", 2)
	frame := gratuitous(vip, b.mac)
	e.send("a", frame)
	back := 0
	for w.now.Before(epoch.Add(150*time.Millisecond)) && back < 1000 {
		w.run(time.Millisecond)
		for ; back < len(b.sent) && back < 1000; back++ {
			e.send("a", frame)
		}
	}
	w.run(maxPutBack + 10*time.Millisecond)
	if back < 3 || back > 12 || len(b.sent) != back+1 {
		t.Errorf("put back %d times, and %d came back", len(b.sent), back)
	}
}

// A frame that is only to be put back is not lost because its driver was busy, nor because
// others of its kind wait.
func TestReadyFramesAreNotLost(t *testing.T) {
	w := newWorld(t, 1, rules)
	e := w.engines[0]
	b := e.box("a", 2)
	frame := gratuitous(vip, b.mac)
	e.send("a", frame)
	w.run(50 * time.Millisecond)
	before := len(b.sent)
	for range 2 * maxHeld {
		e.send("a", frame)
	}
	other := gratuitous(vip6, b.mac)
	e.send("a", other)             // it needs another claim
	w.now = w.now.Add(2 * holdFor) // nothing was done meanwhile
	e.do(e.m.Tick(w.now))
	if got := len(b.sent) - before; got < 2*maxHeld || e.counts[Delayed] > 1 {
		t.Errorf("%d of %d were put back, %v", got, 2*maxHeld, e.counts)
	}
	w.run(50 * time.Millisecond)
	if w.holds(Key{Addr: vip6}) != "a" {
		t.Error("the other claim was not made")
	}
}

// An address that moves to another MAC address of its container is announced as soon as the
// flows for that are there.
func TestNewMACAddressIsNotHeldBack(t *testing.T) {
	w := newWorld(t, 1, rules)
	e := w.engines[0]
	b := e.box("a", 2)
	e.send("a", gratuitous(vip, router))
	w.run(2 * time.Second)
	before := len(b.sent)
	e.send("a", gratuitous(vip, b.mac))
	w.run(w.slow + 6*time.Millisecond)
	if len(b.sent) != before+1 {
		t.Errorf("%d delivered, want 1: %v", len(b.sent)-before, e.counts)
	}
}

func TestLimits(t *testing.T) {
	w := newWorld(t, 1, rules)
	e := w.engines[0]
	b := e.box("a", 2)
	for i := range 20 {
		e.send("a", gratuitous(netip.AddrFrom4([4]byte{10, 1, 1, byte(i)}), b.mac))
		w.run(50 * time.Millisecond)
	}
	if got := len(e.m.Granted("a")); got != MaxAddrs || e.counts[Limit] != 20-MaxAddrs {
		t.Errorf("%d claims, counted %v", got, e.counts)
	}
	open := newWorld(t, 1, Rules{Mode: admission.Open})
	e = open.engines[0]
	b = e.box("a", 2)
	for i := range 20 {
		e.send("a", gratuitous(vip, hw(byte(100+i))))
		open.run(50 * time.Millisecond)
	}
	if got := len(e.m.Granted("a")); got != MaxOpenMACs || e.counts[Limit] != 20-MaxOpenMACs || len(b.sent) != MaxOpenMACs {
		t.Errorf("%d claims, counted %v, %d delivered", got, e.counts, len(b.sent))
	}
}

// What is not used is asked for, and withdrawn if nobody answers.
func TestIdleClaim(t *testing.T) {
	w := newWorld(t, 1, rules)
	e := w.engines[0]
	b := e.box("a", 2)
	b.has[vip], b.has[vip6] = true, true
	e.send("a", gratuitous(vip, b.mac))
	e.send("a", gratuitous(vip6, router))
	w.run(10 * time.Minute)
	if got := len(e.m.Granted("a")); got != 3 { // two addresses, and the MAC address of one
		t.Errorf("%d claims are kept: %v", got, e.m.Granted("a"))
	}
	delete(b.has, vip6)
	w.run(31 * time.Second)
	if got := e.m.Granted("a"); len(got) != 1 || got[0].Addr != vip {
		t.Errorf("%v is kept", got)
	}
	if len(w.holders) != 3 {
		t.Errorf("the directory has %v", w.holders)
	}
}

// A claim moves to who announces it when its holder answers no more, here and elsewhere.
func TestMove(t *testing.T) {
	for name, at := range map[string]int{"within one engine": 0, "between two": 1} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 2, rules)
			first, second := w.engines[0], w.engines[at]
			a, b := first.box("a", 2), second.box("b", 3)
			a.has[vip] = true
			first.send("a", gratuitous(vip, a.mac))
			w.run(time.Second)
			second.send("b", gratuitous(vip, b.mac))
			w.run(5 * time.Second)
			if got := w.holds(Key{Addr: vip}); got != "a" {
				t.Fatalf("at %q", got)
			}
			shown := second.m.Show("b", w.now)
			if len(shown) != 1 || shown[0].Cause != Held || shown[0].Holder.MAC != a.mac || shown[0].Holder.Addr != addr("10.1.0.2") {
				t.Errorf("the one that wants it shows %+v", shown)
			}
			held := first.m.Show("a", w.now)
			if len(held) != 1 || held[0].Rival.MAC != b.mac || held[0].Rival.Addr != addr("10.1.0.3") || held[0].RivalAt.IsZero() {
				t.Errorf("the one that has it shows %+v", held)
			}
			delete(a.has, vip)
			w.run(1400 * time.Millisecond)
			if got := w.holds(Key{Addr: vip}); got != "b" {
				t.Errorf("at %q", got)
			}
			if len(second.announce) != 1 {
				t.Errorf("announced %v", second.announce)
			}
		})
	}
}

// A router that steps down keeps its MAC address until it has heard the other.
func TestVirtualRouter(t *testing.T) {
	advert := func(from byte) []byte {
		f := append([]byte{1, 0, 0x5e, 0, 0, 18}, router[:]...)
		return append(f, 8, 0, 0x45, 0, 0, 40, 0, 0, 0, 0, 255, 112, 0, 0, 10, 1, 0, from, 224, 0, 0, 18, 0x21, 51)
	}
	for name, at := range map[string]int{"within one engine": 0, "between two": 1} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 2, rules)
			first, second := w.engines[0], w.engines[at]
			a, b := first.box("a", 2), second.box("b", 3)
			a.has[vip] = true
			first.send("a", advert(2))
			first.send("a", gratuitous(vip, router))
			w.run(time.Second)
			if w.holds(Key{MAC: router}) != "a" || w.holds(Key{Addr: vip}) != "a" {
				t.Fatalf("holds %v", w.holders)
			}
			second.send("b", advert(3))
			if len(b.sent) != 1 || packet.Source(b.sent[0]) != b.mac {
				t.Fatalf("delivered %x", b.sent)
			}
			delete(a.has, vip) // it has heard that
			second.send("b", gratuitous(vip, router))
			w.run(time.Second)
			if w.holds(Key{MAC: router}) != "b" {
				t.Errorf("the MAC address is at %q", w.holds(Key{MAC: router}))
			}
			if w.holds(Key{Addr: vip}) != "b" {
				t.Errorf("the address is at %q", w.holds(Key{Addr: vip}))
			}
		})
	}
}

// A container that dies gives up what it had at once, to who has announced it.
func TestDeath(t *testing.T) {
	for name, at := range map[string]int{"within one engine": 0, "between two": 1} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 2, rules)
			first, second := w.engines[0], w.engines[at]
			a, b := first.box("a", 2), second.box("b", 3)
			a.has[vip] = true
			first.send("a", gratuitous(vip, a.mac))
			w.run(time.Second)
			second.send("b", gratuitous(vip, b.mac))
			w.run(time.Second)
			first.kill("a")
			w.run(100 * time.Millisecond)
			if got := w.holds(Key{Addr: vip}); got != "b" {
				t.Errorf("at %q", got)
			}
			if got := first.m.Granted("a"); len(got) != 0 {
				t.Errorf("the dead has %v", got)
			}
		})
	}
}

// What Docker gives to a container it gets, whoever has claimed it.
func TestDockerComesFirst(t *testing.T) {
	for name, at := range map[string]int{"within one engine": 0, "between two": 1} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 2, rules)
			first, second := w.engines[0], w.engines[at]
			a := first.box("a", 2)
			a.has[addr("10.1.0.3")] = true
			first.send("a", gratuitous(addr("10.1.0.3"), a.mac))
			w.run(time.Second)
			second.box("b", 3)
			w.run(5 * time.Second)
			if got := first.m.Granted("a"); len(got) != 0 {
				t.Errorf("the container has %v", got)
			}
			if first.asked != 0 {
				t.Errorf("the holder was asked %d times", first.asked)
			}
			first.send("a", gratuitous(addr("10.1.0.3"), a.mac))
			w.run(time.Second)
			if got := first.m.Granted("a"); len(got) != 0 || first.counts[Held] == 0 {
				t.Errorf("the container has %v, counted %v", got, first.counts)
			}
		})
	}
}

// What was claimed in an earlier life of the process is there from the beginning.
func TestKept(t *testing.T) {
	w := newWorld(t, 1, rules)
	e := w.engines[0]
	kept := []Claim{{vip, hw(2)}, {MAC: router}, {addr("192.0.2.1"), hw(2)}, {MAC: hw(9)}}
	e.boxes["a"] = &station{mac: hw(2), has: map[netip.Addr]bool{vip: true}}
	e.do(e.m.Add("a", hw(2), []netip.Addr{addr("10.1.0.2")}, kept, w.now))
	if got := e.m.Granted("a"); len(got) != 2 {
		t.Errorf("has %v", got)
	}
	e.do(e.m.Joined(w.now))
	w.run(time.Minute)
	if got := e.m.Granted("a"); len(got) != 1 || got[0].Addr != vip {
		t.Errorf("has %v after a minute", got)
	}
}

// Nobody is asked more than once a second for one key.
func TestQuestionsAreBounded(t *testing.T) {
	w := newWorld(t, 2, rules)
	a, b := w.engines[0].box("a", 2), w.engines[1].box("b", 3)
	a.has[vip] = true
	w.engines[0].send("a", gratuitous(vip, a.mac))
	w.run(time.Second)
	for range 100 {
		w.engines[1].send("b", gratuitous(vip, b.mac))
		w.run(100 * time.Millisecond)
	}
	if n := w.engines[1].asked; n < 8 || n > 11 {
		t.Errorf("asked %d times in 10 s", n)
	}
	w.run(time.Minute)
	if n := w.engines[1].asked; n > 41 {
		t.Errorf("asked %d times", n)
	}
	if len(w.engines[1].refusals) > 2 {
		t.Errorf("the log was told %d times", len(w.engines[1].refusals))
	}
}

// A container that announces an address behind another MAC address than before gets it
// behind that one, though it was refused behind the first.
func TestAnotherMACAddress(t *testing.T) {
	w := newWorld(t, 2, rules)
	here, there := w.engines[0], w.engines[1]
	holder, other := here.box("holder", 2), there.box("other", 3)
	holder.has[vip] = true
	here.send("holder", gratuitous(vip, router))
	w.run(time.Second)
	there.send("other", gratuitous(vip, router))
	w.run(100 * time.Millisecond) // it is never tried at the moment of an announcement
	for range 40 {                // which is longer than what is wanted is remembered
		w.run(time.Second)
		there.send("other", gratuitous(vip, other.mac))
	}
	other.has[vip] = true
	here.kill("holder")
	w.run(time.Second)
	if got := w.holds(Key{Addr: vip}); got != "other" {
		t.Errorf("the address is at %q", got)
	}
}

// Frames that wait for a MAC address so long that they are given up leave a claim of the
// address behind it: it is made when the MAC address is, and announced.
func TestLateMACAddress(t *testing.T) {
	w := newWorld(t, 1, rules)
	e := w.engines[0]
	b := e.box("a", 2)
	b.has[vip] = true
	e.silent = true // the directory takes its time
	for range 5 {
		e.send("a", gratuitous(vip, router))
	}
	w.run(150 * time.Millisecond)
	if e.counts[Delayed] != 5 {
		t.Errorf("counted %v, want 5 frames that were too late", e.counts)
	}
	e.silent = false
	e.do(nil)
	w.run(100 * time.Millisecond)
	if got := w.holds(Key{Addr: vip}); got != "a" || len(e.announce) != 1 || e.announce[0] != (Claim{vip, router}) {
		t.Errorf("the address is at %q, announced is %v", got, e.announce)
	}
}

// A frame that needs a MAC address and an address waits for the switch once.
func TestMACAndAddressAtOnce(t *testing.T) {
	w := newWorld(t, 1, rules)
	w.slow = 60 * time.Millisecond
	e := w.engines[0]
	b := e.box("a", 2)
	e.send("a", gratuitous(vip, router))
	w.run(90 * time.Millisecond)
	if len(b.sent) != 1 {
		t.Errorf("%d delivered, counted %v", len(b.sent), e.counts)
	}
}
