package flood_test

import (
	"testing"
	"time"

	"evio/overlay/flood"
	"evio/overlay/nodeid"
)

// TestBytes: large frames use up a budget before their number does, and what was
// refused has used nothing.
func TestBytes(t *testing.T) {
	f := flood.New(id(50), 1, flood.Config{
		Ingress: flood.Budget{Bytes: 1000, ByteBurst: 3000},
		Origin:  flood.Budget{Bytes: 1000, ByteBurst: 2000},
		Own:     flood.Budget{Bytes: 1000, ByteBurst: 1500},
	})
	seq := uint64(0)
	receive := func(origin byte, size int, at time.Duration) flood.Cause {
		seq++
		_, _, drop := f.Receive(id(40), flood.Header{Origin: id(origin), Seq: seq, ArcEnd: id(51)}, size, genuine, nil, start.Add(at))
		return drop
	}
	for _, s := range []struct {
		name   string
		origin byte
		size   int
		at     time.Duration
		want   flood.Cause
	}{
		{"an origin's share", 20, 1500, 0, flood.NoDrop},
		{"more than is left of it", 20, 600, 0, flood.OriginLimit},
		{"as much as is left of it", 20, 500, 0, flood.NoDrop},
		{"more than is left of the neighbour's", 21, 500, 0, flood.IngressLimit},
		{"as much as is left of the neighbour's", 21, 400, 0, flood.NoDrop},
		{"after a second", 21, 1000, time.Second, flood.NoDrop},
	} {
		if got := receive(s.origin, s.size, s.at); got != s.want {
			t.Errorf("%s: %v, want %v", s.name, got, s.want)
		}
	}
	if !f.Admit(1500, start) || f.Admit(1, start) || !f.Admit(1000, start.Add(time.Second)) {
		t.Error("this node's own budget is another than it was given")
	}
}

// TestStorm: whatever one origin floods, by default its neighbour brings the floods of
// the others on.
func TestStorm(t *testing.T) {
	for name, size := range map[string]int{"of small frames": 60, "of large frames": 9000} {
		t.Run(name, func(t *testing.T) {
			relay, behind := flood.New(id(50), 1, flood.Config{}), flood.New(id(60), 1, flood.Config{})
			stormed, passed := 0, 0
			for i := range uint64(100_000) {
				now := start.Add(time.Duration(i) * 100 * time.Microsecond) // 10 s
				pass := func(origin byte, size int) bool {
					h := flood.Header{Origin: id(origin), Seq: i, ArcEnd: id(70)}
					_, copies, _ := relay.Receive(id(origin), h, size, genuine, []nodeid.ID{id(60)}, now)
					if len(copies) == 0 {
						return false
					}
					delivered, _, _ := behind.Receive(id(50), copies[0].Header, size, genuine, nil, now)
					return delivered
				}
				if pass(20, size) {
					stormed++
				}
				if i%1000 == 0 && pass(21, 1500) {
					passed++
				}
			}
			most := min(3125*11, 11*(5<<19)*5/4/size)
			if stormed > most {
				t.Errorf("%d frames of the storm passed, at most %d may", stormed, most)
			}
			if passed != 100 {
				t.Errorf("%d frames of another origin passed, want all 100", passed)
			}
			if relay.Stats().Drops[flood.OriginLimit] == 0 || behind.Stats().ByCause()["origin-limit"] > 0 {
				t.Errorf("the storm is not held at its neighbour: %v, behind it %v", relay.Stats().ByCause(), behind.Stats().ByCause())
			}
		})
	}
}

// TestWhatAnOriginMaySendIsTaken: by default no receiver drops what an origin's own limit
// lets out, though the way holds it up for half a second and gives it out at once, and
// though the receiver's clock is a little slow; and all others of an overlay of 16 nodes may
// send that much over one neighbour.
func TestWhatAnOriginMaySendIsTaken(t *testing.T) {
	const (
		origins = 15
		lasting = 2 * time.Second
		every   = 100 * time.Microsecond // between attempts, which are too many
	)
	for _, size := range []int{60, 1049, 1414, 9014} {
		for _, heldUp := range []time.Duration{0, time.Second} {
			sender, relay := flood.New(id(20), 1, flood.Config{}), flood.New(id(50), 1, flood.Config{})
			seq := uint64(0)
			for sent := time.Duration(0); sent < lasting; sent += every {
				if !sender.Admit(size, start.Add(sent)) {
					continue
				}
				came := sent
				if heldUp <= sent && sent < heldUp+500*time.Millisecond {
					came = heldUp + 500*time.Millisecond
				}
				now := start.Add(came - came/1000)
				seq++
				for o := range byte(origins) {
					h := flood.Header{Origin: id(20 + o), Start: 1, Seq: seq, Time: uint64(start.UnixMilli()), ArcEnd: id(60)}
					if _, _, drop := relay.Receive(id(40), h, size, genuine, nil, now); drop != flood.NoDrop {
						t.Fatalf("frame %d of origin %d, of %d bytes, sent after %v, is dropped for %v", seq, o, size, sent, drop)
					}
				}
			}
			seconds := int(lasting / time.Second)
			if least := min(2500*seconds, (5<<19)*seconds/size); seq < uint64(least) {
				t.Fatalf("%d frames of %d bytes were let out in %v, want at least %d", seq, size, lasting, least)
			}
		}
	}
}

// TestTimeGoesBack: limits are held against the time at which a frame came, and frames of
// several queues are not looked at in that order. It refills nothing twice.
func TestTimeGoesBack(t *testing.T) {
	f := flood.New(id(50), 1, flood.Config{Own: flood.Budget{Frames: 100, FrameBurst: 50, Bytes: 1e9, ByteBurst: 1e9}})
	admitted := 0
	for i := range 1000 {
		if f.Admit(60, start.Add(time.Duration(i%2)*500*time.Millisecond)) {
			admitted++
		}
	}
	if want := 50 + 50; admitted > want {
		t.Errorf("%d frames were admitted within half a second, want %d at most", admitted, want)
	}
}

// TestShares: a container alone may send what its node may except for the part that is kept;
// beside it others get their share, in frames and in bytes, and so does the node itself.
func TestShares(t *testing.T) {
	for name, size := range map[string]int{"small frames": 60, "large frames": 9000} {
		t.Run(name, func(t *testing.T) {
			f := flood.New(id(50), 1, flood.Config{})
			most := min(2500.0, 5<<19/float64(size))
			share := most / 10
			var greedy, modest, refused, notices int
			const seconds, rate = 10, 20_000
			due := 0.0
			for i := range seconds * rate {
				now := start.Add(time.Duration(i) * time.Second / rate)
				if f.AdmitFrom(flood.Sender{1}, size, now) == flood.NoDrop {
					greedy++
				}
				if due += 0.9 * share / rate; due >= 1 {
					due--
					if f.AdmitFrom(flood.Sender{2}, size, now) == flood.NoDrop {
						modest++
					} else {
						refused++
					}
				}
				if i%(rate/10) == 0 && f.AdmitNotice(60, now) {
					notices++
				}
			}
			if refused > 0 || modest == 0 {
				t.Errorf("%d frames of the other container were refused, %d admitted", refused, modest)
			}
			if notices != 10*seconds {
				t.Errorf("%d notices of %d were admitted", notices, 10*seconds)
			}
			if all := float64(greedy + modest); all < seconds*most*0.97 || all > (seconds+1)*most {
				t.Errorf("%v frames in %d s, want about %v a second", all, seconds, most)
			}
			if f.Stats().Drops[flood.ContainerLimit] == 0 || f.Stats().Drops[flood.OwnLimit] > 0 {
				t.Errorf("counted: %v", f.Stats().ByCause())
			}
		})
	}
}
