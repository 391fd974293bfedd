package control_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"evio/overlay/control"
)

var epoch = time.UnixMilli(1_800_000_000_000)

func send(t testing.TB, c *control.Conn, payload string, now time.Time) [][]byte {
	t.Helper()
	out, err := c.Send(control.Ring, []byte(payload), now)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func receive(t testing.TB, c *control.Conn, frame []byte, now time.Time) ([]string, [][]byte) {
	t.Helper()
	messages, out, err := c.Receive(frame, now)
	if err != nil {
		t.Fatal(err)
	}
	var payloads []string
	for _, m := range messages {
		payloads = append(payloads, string(m.Payload))
	}
	return payloads, out
}

func TestInOrder(t *testing.T) {
	a, b := control.New(), control.New()
	var frames [][]byte
	for _, p := range []string{"one", "two", "three"} {
		frames = append(frames, send(t, a, p, epoch)...)
	}
	if len(frames) != 3 {
		t.Fatalf("%d frames for three messages", len(frames))
	}
	got, early := receive(t, b, frames[2], epoch)
	if got != nil {
		t.Errorf("third message delivered first: %v", got)
	}
	if got, _ := receive(t, b, frames[0], epoch); !cmp.Equal(got, []string{"one"}) {
		t.Errorf("got %v", got)
	}
	got, acks := receive(t, b, frames[1], epoch)
	if !cmp.Equal(got, []string{"two", "three"}) {
		t.Errorf("got %v", got)
	}
	if got, _ := receive(t, b, frames[0], epoch); got != nil {
		t.Errorf("delivered twice: %v", got)
	}
	receive(t, a, early[0], epoch.Add(20*time.Millisecond))
	if out := a.Tick(epoch.Add(2 * time.Second)); len(out) != 2 {
		t.Errorf("%d frames sent again, want the two that were not acknowledged", len(out))
	}
	receive(t, a, acks[0], epoch.Add(2*time.Second))
	if at := a.NextTick(); !at.IsZero() {
		t.Errorf("all is acknowledged, but a tick is wanted at %v", at)
	}
	if s := b.Stats(); s.Delivered != 3 || s.Duplicates != 1 {
		t.Errorf("counted %+v", s)
	}
}

func TestOutOfOrderIsBounded(t *testing.T) {
	a, b := control.New(), control.New()
	var frames [][]byte
	for range 64 {
		frames = append(frames, send(t, a, "message", epoch)...)
	}
	for _, f := range slices.Concat(frames[1:], frames[1:2]) {
		if got, _ := receive(t, b, f, epoch); got != nil {
			t.Fatal("delivered out of order")
		}
	}
	beyond := bytes.Clone(frames[63])
	binary.BigEndian.PutUint64(beyond[17:], 64)
	receive(t, b, beyond, epoch)
	if s := b.Stats(); s.Delivered != 0 || s.Duplicates != 1 || s.Overrun != 1 {
		t.Errorf("counted %+v", s)
	}
	got, acks := receive(t, b, frames[0], epoch)
	if len(got) != 64 {
		t.Errorf("%d messages delivered, want 64", len(got))
	}
	receive(t, a, acks[0], epoch)
	if s := a.Stats(); s.Waiting != 0 {
		t.Errorf("%d messages wait", s.Waiting)
	}
}

func TestMessageIsKeptApart(t *testing.T) {
	a, b := control.New(), control.New()
	payload := []byte("payload")
	out, err := a.Send(control.Announce, payload, epoch)
	if err != nil {
		t.Fatal(err)
	}
	clear(payload)
	again := a.Tick(epoch.Add(time.Minute))
	messages, _, err := b.Receive(again[0], epoch)
	if err != nil {
		t.Fatal(err)
	}
	clear(again[0])
	clear(out[0])
	want := []control.Message{{Type: control.Announce, Payload: []byte("payload")}}
	if diff := cmp.Diff(want, messages); diff != "" {
		t.Error(diff)
	}
}

func TestBackOff(t *testing.T) {
	a := control.New()
	send(t, a, "lost", epoch)
	now := epoch
	for i, want := range []time.Duration{1, 2, 4, 5, 5} {
		want *= time.Second
		next := a.NextTick()
		if got := next.Sub(now); got != want {
			t.Errorf("pause %d is %v, want %v", i, got, want)
		}
		if out := a.Tick(next.Add(-1)); out != nil {
			t.Error("sent too early")
		}
		if out := a.Tick(next); len(out) != 1 {
			t.Errorf("%d frames at time-out", len(out))
		}
		now = next
	}
	if s := a.Stats(); s.Resent != 5 || s.Waiting != 1 {
		t.Errorf("counted %+v", s)
	}
}

// What was lost while the way was cut arrives together as soon as the first of it does.
func TestLostTogetherArrivesTogether(t *testing.T) {
	a, b := control.New(), control.New()
	_, acks := receive(t, b, send(t, a, "measured", epoch)[0], epoch)
	const trip = 10 * time.Millisecond
	now := epoch.Add(trip)
	receive(t, a, acks[0], now)
	send(t, a, "one", now)
	send(t, a, "two", now.Add(70*time.Millisecond))
	first := a.NextTick()
	send(t, a, "just now", first.Add(1-trip))
	var got []string
	for _, f := range a.Tick(first) {
		more, _ := receive(t, b, f, first.Add(trip/2))
		got = append(got, more...)
	}
	if want := []string{"one", "two"}; !cmp.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if out := a.Tick(first.Add(1)); out != nil {
		t.Errorf("%d frames are sent again at once", len(out))
	}
}

func TestRoundTrip(t *testing.T) {
	tests := []struct {
		name    string
		rtt     time.Duration
		timeout time.Duration // after many messages
	}{
		{"near", time.Millisecond, 200 * time.Millisecond},
		{"far", 400 * time.Millisecond, 400 * time.Millisecond},
		{"longer than the first time-out", 1500 * time.Millisecond, 1500 * time.Millisecond},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, b := control.New(), control.New()
			now := epoch
			for range 50 {
				frame := send(t, a, "message", now)[0]
				_, acks := receive(t, b, frame, now.Add(tt.rtt/2))
				a.Tick(now.Add(tt.rtt).Add(-time.Millisecond)) // too early if the estimate is low
				now = now.Add(tt.rtt)
				receive(t, a, acks[0], now)
			}
			if got := a.Stats().RTT; got != tt.rtt {
				t.Errorf("round trip %v, want %v", got, tt.rtt)
			}
			send(t, a, "last", now)
			if got := a.NextTick().Sub(now); got < tt.timeout || got > tt.timeout+50*time.Millisecond {
				t.Errorf("time-out %v, want about %v", got, tt.timeout)
			}
		})
	}
}

func TestFull(t *testing.T) {
	a := control.New()
	if _, err := a.Send(control.Ring, make([]byte, control.MaxPayload+1), epoch); !errors.Is(err, control.ErrTooLong) {
		t.Errorf("message too long: %v", err)
	}
	under, taken := 0, 0
	for {
		out, err := a.Send(control.Ring, make([]byte, control.MaxPayload), epoch)
		if errors.Is(err, control.ErrFull) {
			break
		}
		under, taken = under+len(out), taken+1
	}
	if under != 8 || taken != 8+128 {
		t.Errorf("%d messages under way, %d taken; want 8 of 64 KiB and 1 MiB more", under, taken)
	}
	if s := a.Stats(); s.Refused != 1 || s.Waiting != taken {
		t.Errorf("counted %+v", s)
	}

	small := control.New()
	under, taken = 0, 0
	for {
		out, err := small.Send(control.Ring, nil, epoch)
		if err != nil {
			break
		}
		under, taken = under+len(out), taken+1
	}
	if under != 64 || taken != 64+4096 {
		t.Errorf("%d messages under way, %d taken; want 64 and 4096 more", under, taken)
	}
}

func TestRefuses(t *testing.T) {
	ack := func(next uint64) []byte {
		b := make([]byte, 26)
		b[0] = 2
		binary.BigEndian.PutUint64(b[1:], next)
		return b
	}
	for name, b := range map[string][]byte{
		"empty":                 nil,
		"short acknowledgement": ack(0)[:25],
		"long acknowledgement":  append(ack(0), 0),
		"short message":         {1, 0, 0},
		"long message":          append([]byte{1}, make([]byte, 27+control.MaxPayload)...),
		"of the future":         ack(2),
	} {
		t.Run(name, func(t *testing.T) {
			a := control.New()
			send(t, a, "message", epoch)
			before := a.Stats()
			if _, _, err := a.Receive(b, epoch); !errors.Is(err, control.ErrFrame) {
				t.Errorf("got %v", err)
			}
			before.Malformed++
			if diff := cmp.Diff(before, a.Stats()); diff != "" {
				t.Error(diff)
			}
		})
	}
	a := control.New()
	if m, out, err := a.Receive([]byte{9, 1, 2, 3}, epoch); m != nil || out != nil || err != nil || a.Stats().Skipped != 1 {
		t.Errorf("unknown kind: %v, %v, %v", m, out, err)
	}
}

// Whatever the network does to the frames, each message arrives once and in order
// as soon as frames arrive again, and both ends come to rest.
func TestReliable(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 0))
		loss := rapid.IntRange(0, 60).Draw(rt, "loss percent")
		delay := time.Duration(rapid.IntRange(1, 800).Draw(rt, "delay ms")) * time.Millisecond
		total := rapid.IntRange(1, 200).Draw(rt, "messages")
		size := rapid.IntRange(8, control.MaxPayload).Draw(rt, "size")

		type letter struct {
			to    int
			at    time.Time
			frame []byte
		}
		ends := [2]*control.Conn{control.New(), control.New()}
		var flying []letter
		var got [2]uint64
		now := epoch
		post := func(from int, frames [][]byte) {
			for _, f := range frames {
				for n := 0; n < 3 && (n == 0 || rng.IntN(100) < 10); n++ {
					if rng.IntN(100) >= loss {
						at := now.Add(delay/2 + time.Duration(rng.Int64N(int64(delay))))
						flying = append(flying, letter{1 - from, at, f})
					}
				}
			}
		}
		sent := 0
		for now.Before(epoch.Add(time.Hour)) {
			for sent < total && rng.IntN(2) == 0 {
				payload := make([]byte, 8+rng.IntN(size-7))
				binary.BigEndian.PutUint64(payload, uint64(sent))
				for i, c := range ends {
					out, err := c.Send(control.Type(sent), payload, now)
					if err != nil {
						rt.Fatal(err)
					}
					post(i, out)
				}
				sent++
			}
			now = now.Add(25 * time.Millisecond)
			arrived := flying
			flying = nil
			for _, l := range arrived {
				if l.at.After(now) {
					flying = append(flying, l)
					continue
				}
				frame := bytes.Clone(l.frame)
				messages, out, err := ends[l.to].Receive(frame, now)
				if err != nil {
					rt.Fatal(err)
				}
				clear(frame)
				post(l.to, out)
				for _, m := range messages {
					if n := binary.BigEndian.Uint64(m.Payload); n != got[l.to] || m.Type != control.Type(n) {
						rt.Fatalf("message %d of type %d arrived, want %d", n, m.Type, got[l.to])
					}
					got[l.to]++
				}
			}
			for i, c := range ends {
				if next := c.NextTick(); !next.IsZero() && !now.Before(next) {
					post(i, c.Tick(now))
				}
			}
			if sent == total && len(flying) == 0 && ends[0].NextTick().IsZero() && ends[1].NextTick().IsZero() {
				break
			}
		}
		if got != [2]uint64{uint64(total), uint64(total)} {
			rt.Fatalf("arrived %v of %d", got, total)
		}
		for _, c := range ends {
			if s := c.Stats(); s.Waiting != 0 || s.Delivered != uint64(total) {
				rt.Fatalf("at rest: %+v", s)
			}
		}
	})
}

func FuzzReceive(f *testing.F) {
	a := control.New()
	first := send(f, a, "message", epoch)[0]
	f.Add(first, first)
	f.Add(a.Tick(epoch.Add(time.Minute))[0], []byte{2})
	_, acks := receive(f, control.New(), first, epoch)
	f.Add(acks[0], []byte{3, 4})
	f.Fuzz(func(t *testing.T, x, y []byte) {
		c := control.New()
		send(t, c, "ours", epoch)
		var delivered uint64
		for _, b := range [][]byte{x, y, x} {
			before := c.Stats()
			messages, out, err := c.Receive(b, epoch)
			if err != nil {
				if after := c.Stats(); after.Malformed != before.Malformed+1 || len(messages)+len(out) > 0 {
					t.Fatalf("an error changed something: %+v", after)
				}
				continue
			}
			delivered += uint64(len(messages))
			if s := c.Stats(); s.Delivered != delivered || delivered > 2 || s.Waiting > 1 {
				t.Fatalf("%+v", s)
			}
		}
		c.Tick(epoch.Add(time.Minute))
	})
}
