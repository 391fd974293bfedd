package flood_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"evio/overlay/flood"
	"evio/overlay/nodeid"
)

// TestOriginsClockIsSetBack: an origin that begins anew again and again, with a clock that
// is set to and fro meanwhile, is heard each time, and what it sent in any life is never
// delivered twice.
func TestOriginsClockIsSetBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := flood.New(id(50), 1, flood.Config{})
		now := start.Add(time.Hour)
		var sent []flood.Header
		for life := range rapid.IntRange(1, 20).Draw(t, "lives") {
			now = now.Add(time.Duration(rapid.IntRange(0, 60).Draw(t, "later")) * time.Second)
			wrong := time.Duration(rapid.IntRange(-240, 240).Draw(t, "wrong")) * time.Second
			for seq := range rapid.IntRange(1, 3).Draw(t, "frames") {
				h := flood.Header{
					Origin: id(20), Start: uint64(life + 1), Seq: uint64(seq + 1), ArcEnd: id(60),
					Time: uint64(now.Add(wrong).UnixMilli()),
				}
				if deliver, _, drop := f.Receive(id(40), h, 100, genuine, nil, now); !deliver {
					t.Fatalf("life %d, frame %d by a clock off by %v: dropped for %v", life, seq, wrong, drop)
				}
				sent = append(sent, h)
			}
			for _, h := range sent {
				if deliver, _, _ := f.Receive(id(40), h, 100, genuine, nil, now); deliver {
					t.Fatalf("frame %d of life %d delivered again in life %d", h.Seq, h.Start, life+1)
				}
			}
		}
	})
}

// TestFloodsGoByWallTime: what a node signs, and what it takes for timely, goes by the
// clock that it is given.
func TestFloodsGoByWallTime(t *testing.T) {
	now := start.Add(time.Hour)
	ahead := func(by time.Duration) flood.Config {
		return flood.Config{Wall: func(now time.Time) time.Time { return now.Add(by) }}
	}
	for by, want := range map[time.Duration]flood.Cause{
		4 * time.Minute: flood.NoDrop, -4 * time.Minute: flood.NoDrop, time.Hour: flood.Untimely, -time.Hour: flood.Untimely,
	} {
		copies := flood.New(id(20), 1, ahead(by)).Originate([]nodeid.ID{id(50)}, now)
		if drop := flood.New(id(50), 1, flood.Config{}).Examine(id(20), copies[0].Header, 100, now); drop != want {
			t.Errorf("by a clock off by %v: dropped for %v, want %v", by, drop, want)
		}
		if drop := flood.New(id(50), 1, ahead(by)).Examine(id(20), copies[0].Header, 100, now); drop != flood.NoDrop {
			t.Errorf("between two clocks off by %v: dropped for %v", by, drop)
		}
	}
}
