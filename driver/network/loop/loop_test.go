package loop

import (
	"encoding/binary"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"evio/datapath/packet"
)

// room is a network of one or more engines, whose containers' ports may lead to a place
// where every frame comes out of the other ports that lead there.
type room struct {
	now     time.Time
	engines []*engine
	circles [][]string // ports that lead to one place
	frames  map[string]int
}

type engine struct {
	watch  *Watch
	ports  []string
	frames uint64
	muted  map[string]int
}

func newRoom(engines ...[]string) *room {
	r := &room{now: time.Unix(1e9, 0), frames: map[string]int{}}
	for i, ports := range engines {
		next := uint64(0)
		number := func() (n packet.LoopNumber) {
			next++
			binary.BigEndian.PutUint64(n[:], uint64(i))
			binary.BigEndian.PutUint64(n[8:], next)
			return n
		}
		r.engines = append(r.engines, &engine{watch: New(packet.MAC{2, 0, 0, 0, 0, byte(i)}, number), ports: ports, muted: map[string]int{}})
	}
	return r
}

// open reports whether frames go by a port.
func (r *room) open(port string) bool {
	for _, e := range r.engines {
		if _, muted := e.watch.Muted()[port]; muted {
			return false
		}
	}
	return true
}

// back returns the ports from which what is delivered to all of them comes back.
func (r *room) back() (ports []string) {
	for _, circle := range r.circles {
		open := slices.DeleteFunc(slices.Clone(circle), func(p string) bool { return !r.open(p) })
		if len(open) > 1 {
			ports = append(ports, open...)
		}
	}
	return ports
}

// tick lets the time of one tick go by, and reports whether something goes round.
func (r *room) tick(t interface{ Fatalf(string, ...any) }, offered uint64) bool {
	r.now = r.now.Add(Every)
	for _, e := range r.engines {
		if storm := r.back(); len(storm) > 0 && (offered > 0 || e.frames > 0) {
			e.frames += 1000
		}
		e.frames += offered
		frame, _ := e.watch.Tick(e.frames, r.now)
		if frame == nil {
			continue
		}
		number, ok := packet.ParseLoopProbe(frame)
		if !ok {
			t.Fatalf("no probe: %x", frame)
		}
		for _, port := range r.back() {
			for _, at := range r.engines {
				if !slices.Contains(at.ports, port) {
					continue
				}
				mute, own := at.watch.Came(number, port, r.now)
				if mute && !own || mute && at != e {
					t.Fatalf("%s is muted by another's probe", port)
				}
				if mute {
					at.muted[port]++
				}
			}
		}
	}
	return len(r.back()) > 0
}

func TestCircleOfOneEngineIsCutOnce(t *testing.T) {
	r := newRoom([]string{"a", "b", "c"})
	r.circles = [][]string{{"a", "b"}}
	ticks := 0
	for r.tick(t, 1) {
		if ticks++; ticks > 4 {
			t.Fatal("it goes round for more than a second")
		}
	}
	e := r.engines[0]
	if len(e.watch.Muted()) != 1 || e.watch.Count() != 1 || e.muted["c"] != 0 {
		t.Errorf("muted %v, %d times", e.watch.Muted(), e.watch.Count())
	}
	for range int(MutedFor/Every) - 2 {
		if r.tick(t, 1) {
			t.Fatal("it goes round again too early")
		}
	}
	// It is tried again, and found again at once.
	rounds := 0
	for range 8 {
		if r.tick(t, 1) {
			rounds++
		}
	}
	if rounds > 4 || e.watch.Count() != 2 {
		t.Errorf("went round for %d ticks, muted %d times", rounds, e.watch.Count())
	}
	// When the bridge is gone nobody is muted any more.
	r.circles = nil
	for range int(MutedFor / Every) {
		r.tick(t, 1)
	}
	if len(e.watch.Muted()) != 0 || e.watch.Count() != 2 {
		t.Errorf("muted %v, %d times", e.watch.Muted(), e.watch.Count())
	}
}

func TestWhatDoesNotProveALoop(t *testing.T) {
	w := New(packet.MAC{2}, func() packet.LoopNumber { return packet.LoopNumber{7} })
	now := time.Unix(1e9, 0)
	if mute, own := w.Came(packet.LoopNumber{7}, "a", now); mute || own {
		t.Error("one that was not sent yet")
	}
	frame, _ := w.Tick(1, now)
	if frame == nil {
		t.Fatal("no probe after the first frame")
	}
	if mute, own := w.Came(packet.LoopNumber{8}, "a", now); mute || own {
		t.Error("another's")
	}
	if mute, own := w.Came(packet.LoopNumber{7}, "a", now.Add(probeLife)); mute || own {
		t.Error("an old one")
	}
	if mute, own := w.Came(packet.LoopNumber{7}, "a", now.Add(probeLife-1)); !mute || !own {
		t.Error("an own one is not seen")
	}
	if mute, _ := w.Came(packet.LoopNumber{7}, "b", now.Add(probeLife-1)); mute {
		t.Error("the same mutes twice")
	}
	w.Forget("a")
	if len(w.Muted()) != 0 {
		t.Error("not forgotten")
	}
}

// TestProbesAreFew: a silent network sends none, a quiet one every 5 s, a loud one two a
// second.
func TestProbesAreFew(t *testing.T) {
	for each, want := range map[uint64][2]int{0: {0, 0}, 1: {12, 13}, busyFrames: {115, 121}} {
		w := New(packet.MAC{2}, func() packet.LoopNumber { return packet.LoopNumber{} })
		now, frames, probes := time.Unix(1e9, 0), uint64(0), 0
		for range int(time.Minute / Every) {
			frames += each
			if f, _ := w.Tick(frames, now); f != nil {
				probes++
			}
			now = now.Add(Every)
		}
		if probes < want[0] || probes > want[1] {
			t.Errorf("%d frames a tick: %d probes a minute, want %v", each, probes, want)
		}
	}
}

// TestEveryStormEnds: whatever circles there are, of one engine and of several, no more
// than 1.5 s for each way round pass before nothing goes round; ports that lead
// nowhere are never muted.
func TestEveryStormEnds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := []string{"a", "b", "c", "d", "e", "f", "g", "h"}
		cut := rapid.IntRange(1, len(names)).Draw(t, "cut")
		r := newRoom(names[:cut], names[cut:])
		free := map[string]bool{}
		for _, n := range names {
			free[n] = true
		}
		ways := 0
		for len(free) > 1 && rapid.Bool().Draw(t, "another circle") {
			circle := rapid.SliceOfNDistinct(rapid.SampledFrom(slices.Sorted(maps.Keys(free))), 2, len(free), rapid.ID).Draw(t, "circle")
			for _, p := range circle {
				delete(free, p)
			}
			r.circles = append(r.circles, circle)
			ways += len(circle) - 1
		}
		for range 6*ways + 2 {
			r.tick(t, rapid.Uint64Range(1, 100).Draw(t, "offered"))
		}
		if back := r.back(); len(back) != 0 {
			t.Fatalf("still going round by %v after %d ticks", back, 6*ways+2)
		}
		for _, e := range r.engines {
			for p := range e.muted {
				if free[p] {
					t.Fatalf("%s, which leads nowhere, is muted", p)
				}
			}
		}
	})
}
