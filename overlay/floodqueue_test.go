package overlay

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"evio/overlay/nodeid"
)

// Whatever neighbours bring and in whatever order workers finish: each neighbour's frames
// come out once, in order, never two at a time, and between two of one neighbour's at most one of each other.
func TestFloodQueuesAreFair(t *testing.T) {
	start := time.Now()
	rapid.Check(t, func(t *rapid.T) {
		q := newFloodQueues()
		brought, taken := map[nodeid.ID]uint32{}, map[nodeid.ID]uint32{}
		since := map[nodeid.ID]map[nodeid.ID]int{} // a neighbour's frame waits: what was taken of others meanwhile
		var busy []*floodQueue
		waiting := func() (ready int) {
			for id, n := range brought {
				if n > taken[id] && !slices.ContainsFunc(busy, func(f *floodQueue) bool { return f.from == id }) {
					ready++
				}
			}
			return ready
		}
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				id := nodeid.ID{rapid.ByteRange(1, 4).Draw(t, "neighbour")}
				for range rapid.IntRange(1, 20).Draw(t, "frames") {
					if !q.put(id, binary.BigEndian.AppendUint32(nil, brought[id]), start) {
						t.Fatal("refused")
					}
					brought[id]++
				}
				if since[id] == nil {
					since[id] = map[nodeid.ID]int{}
				}
			},
			"take": func(t *rapid.T) {
				if waiting() == 0 {
					return
				}
				f, one := q.take()
				frame := one.frame
				if slices.ContainsFunc(busy, func(other *floodQueue) bool { return other.from == f.from }) {
					t.Fatal("two frames of one neighbour are taken at a time")
				}
				if !bytes.Equal(frame, binary.BigEndian.AppendUint32(nil, taken[f.from])) {
					t.Fatalf("frame %x, want number %d", frame, taken[f.from])
				}
				taken[f.from]++
				busy = append(busy, f)
				for id, others := range since {
					if id == f.from || taken[id] == brought[id] {
						continue
					}
					if others[f.from]++; others[f.from] > 1 && !slices.ContainsFunc(busy, func(b *floodQueue) bool { return b.from == id }) {
						t.Fatalf("%d frames of one neighbour were taken while another waited", others[f.from])
					}
				}
				since[f.from] = map[nodeid.ID]int{}
			},
			"done": func(t *rapid.T) {
				if len(busy) == 0 {
					return
				}
				i := rapid.IntRange(0, len(busy)-1).Draw(t, "which")
				since[busy[i].from] = map[nodeid.ID]int{}
				q.done(busy[i])
				busy = slices.Delete(busy, i, i+1)
			},
		})
		for _, f := range busy {
			q.done(f)
		}
		busy = nil
		for waiting() > 0 {
			f, _ := q.take()
			taken[f.from]++
			q.done(f)
		}
		for id, n := range brought {
			if taken[id] != n {
				t.Fatalf("%d of %d frames came out", taken[id], n)
			}
		}
		if len(q.of) != 0 {
			t.Fatalf("%d queues are kept though nothing waits", len(q.of))
		}
	})
}

// A full queue refuses more frames, by number and by bytes, and does not affect other queues.
func TestFloodQueuesAreBounded(t *testing.T) {
	small, large := nodeid.ID{1}, nodeid.ID{2}
	q, start := newFloodQueues(), time.Now()
	for i := range maxFloods + 1 {
		if got, want := q.put(small, []byte{1}, start), i < maxFloods; got != want {
			t.Fatalf("frame %d: taken %v", i, got)
		}
	}
	frame := make([]byte, 9000)
	for i := range maxFloodBytes/len(frame) + 1 {
		if got, want := q.put(large, frame, start), i < maxFloodBytes/len(frame); got != want {
			t.Fatalf("large frame %d: taken %v", i, got)
		}
	}
	f, _ := q.take()
	if !q.put(f.from, []byte{1}, start) {
		t.Error("no room though one was taken")
	}
	q.done(f)
	q.close()
	if q.put(nodeid.ID{3}, []byte{1}, start) {
		t.Error("a frame is taken after the end")
	}
	if f, one := q.take(); f != nil || one.frame != nil {
		t.Error("something is taken after the end")
	}
}
