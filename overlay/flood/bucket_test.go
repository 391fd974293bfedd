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
	f := flood.NewConfig(id(50), 1, flood.Config{
		Ingress: flood.Budget{Bytes: 1000, ByteBurst: 3000},
		Origin:  flood.Budget{Bytes: 1000, ByteBurst: 2000},
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
	if !f.Admit(2000, start) || f.Admit(1, start) {
		t.Error("this node's own budget is not that of an origin")
	}
}

// TestStorm: whatever one origin floods, by default its neighbour brings the floods of
// the others on.
func TestStorm(t *testing.T) {
	for name, size := range map[string]int{"of small frames": 60, "of large frames": 9000} {
		t.Run(name, func(t *testing.T) {
			relay, behind := flood.New(id(50), 1), flood.New(id(60), 1)
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
			most := min(1000*21/2, 21*(2<<20)/2/size)
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
