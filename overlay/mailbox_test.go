package overlay

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"evio/overlay/nodeid"
)

// said returns what a mailbox runs until it is empty.
func said(t *testing.T, m *mailbox, order *[]string) string {
	t.Helper()
	*order = nil
	m.run(t.Context(), 1000)
	return strings.Join(*order, " ")
}

func TestSourcesTakeTurns(t *testing.T) {
	m := newMailbox()
	a, b, engine := from(nodeid.ID{1}), from(nodeid.ID{2}), source{kind: ofEngine}
	var order []string
	say := func(what string) func() { return func() { order = append(order, what) } }
	for i := range 3 {
		m.offer(a, say(fmt.Sprint("a", i)), 10)
		m.after(a, say(fmt.Sprint("frame", i)), 10)
	}
	m.post(b, func() {
		order = append(order, "b0")
		m.next(b, say("b1"))
	})
	m.post(b, say("b2"))
	m.put(say("engine"))
	if got, want := said(t, m, &order), "a0 b0 engine a1 b1 a2 b2 frame0 frame1 frame2"; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	m.after(a, say("frame"), 10)
	m.offer(a, say("a"), 10)
	if got, want := said(t, m, &order), "a frame"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if len(m.of)+len(m.soon)+len(m.later) != 0 {
		t.Errorf("an empty mailbox keeps %v %v %v", m.of, m.soon, m.later)
	}
	for i := range 4 {
		if took := m.offer(a, say("a"), 3); took != (i < 3) {
			t.Errorf("offer %d: %v", i, took)
		}
		if took := m.after(a, say("frame"), 3); took != (i < 3) {
			t.Errorf("frame %d: %v", i, took)
		}
	}
	if !m.post(a, say("event")) || !m.offer(b, say("b"), 3) || !m.after(engine, say("own"), 3) {
		t.Error("one that says much has filled the queues of others")
	}
	m.close()
	if m.put(say("late")) || m.take() != nil {
		t.Error("a closed mailbox goes on")
	}
}

// Frames have their turn however many messages there are, and messages do not wait for
// more than one of them.
func TestFramesHaveTheirTurn(t *testing.T) {
	m := newMailbox()
	talker, sender := from(nodeid.ID{1}), from(nodeid.ID{2})
	frames, messages, apart := 0, 0, 0
	for range 100 {
		m.after(sender, func() { frames, apart = frames+1, 0 }, 100)
	}
	var more func()
	more = func() {
		if messages++; messages < 500 {
			m.post(talker, more)
		}
		if apart++; apart > maxAhead {
			t.Fatalf("%d messages in a row while frames wait", apart)
		}
	}
	m.post(talker, more)
	m.run(t.Context(), 500)
	if frames == 0 || frames > 500/maxAhead+1 {
		t.Errorf("%d frames beside %d messages", frames, messages)
	}
}

// Whatever is put in, all of it runs, each source's in order, and its frames behind the
// messages that waited before them.
func TestNothingOfAMailboxIsLost(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newMailbox()
		var put, ran []string
		for i := range rapid.IntRange(1, 100).Draw(t, "steps") {
			s := from(nodeid.ID{byte(rapid.IntRange(1, 3).Draw(t, "peer"))})
			kind := rapid.SampledFrom([]string{"message", "frame", "take"}).Draw(t, "kind")
			name := fmt.Sprintf("%d %s %03d", s.peer[0], kind, i)
			f := func() { ran = append(ran, name) }
			switch kind {
			case "message":
				m.post(s, f)
				put = append(put, name)
			case "frame":
				m.after(s, f, 1000)
				put = append(put, name)
			default:
				if f := m.take(); f != nil {
					f()
				}
			}
		}
		for f := m.take(); f != nil; f = m.take() {
			f()
		}
		for i, name := range ran {
			for _, before := range ran[:i] {
				number := func(s string) string { return s[len(s)-3:] }
				if before[0] == name[0] && number(before) > number(name) && !strings.Contains(before, "message") {
					t.Fatalf("%s ran before %s", before, name)
				}
				if before[0] == name[0] && number(before) > number(name) && strings.Contains(name, "message") {
					t.Fatalf("%s ran before %s", before, name)
				}
			}
		}
		if slices.Sort(put); !slices.Equal(put, slices.Sorted(slices.Values(ran))) {
			t.Fatalf("put %v, ran %v", put, ran)
		}
		if len(m.of)+len(m.soon)+len(m.later) != 0 {
			t.Fatal("an empty mailbox keeps something")
		}
	})
}
