package symphony_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"evio/overlay/symphony"
)

func TestMessageRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := symphony.Message{
			Start:  rapid.Uint32Min(1).Draw(t, "start"),
			Seq:    rapid.Uint32().Draw(t, "seq"),
			Want:   symphony.EdgeType(rapid.IntRange(0, int(symphony.LongDistance)).Draw(t, "want")),
			Answer: symphony.Answer(rapid.IntRange(0, int(symphony.Refuse)).Draw(t, "answer")),
			Echo:   rapid.Uint32().Draw(t, "echo"),
			Ack:    rapid.Uint32().Draw(t, "ack"),
			Reply:  rapid.Bool().Draw(t, "reply"),
		}
		got, err := symphony.ParseMessage(symphony.AppendMessage(nil, want))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("-want +got:\n%s", diff)
		}
	})
}

func TestParseMessageRefuses(t *testing.T) {
	good := symphony.AppendMessage(nil, symphony.Message{Start: 1})
	for _, tc := range []struct {
		name string
		at   int
		to   byte
	}{
		{"another version", 0, 2},
		{"a want that only one end can see", 2, byte(symphony.Predecessor)},
		{"an unknown answer", 3, 3},
		{"no start", 7, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bad := append([]byte(nil), good...)
			bad[tc.at] = tc.to
			if m, err := symphony.ParseMessage(bad); !errors.Is(err, symphony.ErrMessage) {
				t.Errorf("ParseMessage = %+v, %v", m, err)
			}
		})
	}
}

// FuzzParseMessage: no bytes panic or change when encoded again, and none bring a
// ring out of order.
func FuzzParseMessage(f *testing.F) {
	f.Add([]byte{}, uint8(0))
	f.Add(encode(symphony.Message{Start: 1, Seq: 1, Want: symphony.Successor, Reply: true}), uint8(1))
	f.Add(encode(symphony.Message{Start: 9, Seq: 3, Want: symphony.LongDistance, Answer: symphony.Accept, Echo: 5, Ack: 2}), uint8(2))
	f.Fuzz(func(t *testing.T, b []byte, from uint8) {
		m, err := symphony.ParseMessage(b)
		if err == nil {
			again, err := symphony.ParseMessage(encode(m))
			if err != nil || again != m {
				t.Fatalf("%+v became %+v, %v", m, again, err)
			}
		}
		r := newRing(128)
		for _, b := range []byte{20, 60, 100, 140, 180, 220} {
			r.NodeUp(id(b), start)
		}
		r.Message(id(20*(1+from%12)), b, start)
		r.Tick(start.Add(time.Minute))
		if got := r.Neighbours(); len(got) < 2 || got[0] != id(140) || got[1] != id(180) {
			t.Fatalf("neighbours: %v", got)
		}
	})
}
