package symphony_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"evio/overlay/nodeid"
	"evio/overlay/symphony"
	"evio/overlay/symphonytest"
)

var start = time.Unix(1000, 0)

// id returns the ID whose first byte is b: node b of a ring of 256 places.
func id(b byte) nodeid.ID { return nodeid.ID{b} }

func newRing(self byte) *symphony.Ring {
	return symphony.New(id(self), symphony.Config{}, rand.New(rand.NewPCG(uint64(self), 9)))
}

// sent returns the last message among the effects to a node.
func sent(t *testing.T, effects []symphony.Effect, to nodeid.ID) symphony.Message {
	t.Helper()
	for _, e := range slices.Backward(effects) {
		if s, ok := e.(symphony.Send); ok && s.To == to {
			m, err := symphony.ParseMessage(s.Message)
			if err != nil {
				t.Fatal(err)
			}
			return m
		}
	}
	t.Fatalf("nothing is sent to %s: %v", to, effects)
	return symphony.Message{}
}

func has(effects []symphony.Effect, want symphony.Effect) bool {
	return slices.ContainsFunc(effects, func(e symphony.Effect) bool { return cmp.Equal(e, want) })
}

func encode(m symphony.Message) []byte { return symphony.AppendMessage(nil, m) }

func TestRequestAcceptClose(t *testing.T) {
	r := newRing(10)
	ask := sent(t, r.NodeUp(id(20), start), id(20))
	if ask.Want != symphony.Successor || !ask.Reply {
		t.Fatalf("asked %+v", ask)
	}
	if got := r.Neighbours(); !slices.Equal(got, []nodeid.ID{id(20)}) {
		t.Errorf("floods before the link is up go to %v", got)
	}
	if got := r.Successors(); len(got) != 0 {
		t.Errorf("successors before the link is up: %v", got)
	}
	accept := symphony.Message{Start: 7, Seq: 1, Answer: symphony.Accept, Echo: ask.Start, Ack: 0}
	if got := r.Message(id(20), encode(accept), start); has(got, symphony.LinkUp{ID: id(20), Type: symphony.Successor}) {
		t.Fatalf("an answer to something earlier was taken for one to this: %v", got)
	}
	accept.Ack = ask.Seq
	if got := r.Message(id(20), encode(accept), start); !has(got, symphony.LinkUp{ID: id(20), Type: symphony.Successor}) {
		t.Fatalf("accepted: %v", got)
	}
	if got := r.NodeDown(id(20), start); !has(got, symphony.LinkDown{ID: id(20)}) {
		t.Errorf("node down: %v", got)
	}
	if got := r.Neighbours(); len(got) != 0 {
		t.Errorf("neighbours after the node went down: %v", got)
	}
}

// TestLostMessageIsSentAgain: and with growing pauses, until there is an answer.
func TestLostMessageIsSentAgain(t *testing.T) {
	r := newRing(10)
	first := sent(t, r.NodeUp(id(20), start), id(20))
	var pauses []time.Duration
	last := start
	for now := start; now.Before(start.Add(32 * time.Second)); now = now.Add(100 * time.Millisecond) {
		if effects := r.Tick(now); len(effects) > 0 {
			if diff := cmp.Diff(first, sent(t, effects, id(20))); diff != "" {
				t.Fatalf("sent again (-first +again):\n%s", diff)
			}
			pauses = append(pauses, now.Sub(last))
			last = now
		}
	}
	want := []time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 8 * time.Second, 8 * time.Second}
	if diff := cmp.Diff(want, pauses); diff != "" {
		t.Errorf("pauses (-want +got):\n%s", diff)
	}
	r.Message(id(20), encode(symphony.Message{Start: 7, Seq: 1, Answer: symphony.Accept, Echo: first.Start, Ack: first.Seq}), last)
	if effects := r.Tick(last.Add(20 * time.Second)); len(effects) > 0 {
		t.Errorf("sent after the answer: %v", effects)
	}
}

// TestLowerIDDecides: where both ends want the link, the type is the lower one's.
func TestLowerIDDecides(t *testing.T) {
	for _, tc := range []struct {
		name        string
		self, other byte
		want        symphony.EdgeType
	}{
		{"own type at the lower end", 10, 20, symphony.Successor},
		{"the lower end's type at the higher end", 20, 10, symphony.Incoming},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRing(tc.self)
			other := id(tc.other)
			var ask symphony.Message
			for _, b := range []byte{tc.other, tc.other + 1, tc.other + 2} { // three others, so that k > 0
				effects := r.NodeUp(id(b), start)
				if b == tc.other {
					ask = sent(t, effects, other)
				}
			}
			r.Message(other, encode(symphony.Message{
				Start: 7, Seq: 1, Want: symphony.LongDistance, Answer: symphony.Accept, Echo: ask.Start, Ack: ask.Seq,
			}), start)
			if links := r.Links(); len(links) != 1 || links[0] != (symphony.Link{ID: other, Type: tc.want}) {
				t.Errorf("links: %v, want one %s", links, tc.want)
			}
		})
	}
}

// TestOldSuccessorStays until the links to the new ones are up.
func TestOldSuccessorStays(t *testing.T) {
	r := newRing(10)
	asks := map[nodeid.ID]symphony.Message{}
	accept := func(b byte) []symphony.Effect {
		m := asks[id(b)]
		return r.Message(id(b), encode(symphony.Message{Start: 7, Seq: 1, Answer: symphony.Accept, Echo: m.Start, Ack: m.Seq}), start)
	}
	for _, b := range []byte{40, 50, 60} {
		effects := r.NodeUp(id(b), start)
		if b < 60 {
			asks[id(b)] = sent(t, effects, id(b))
			accept(b)
		}
	}
	effects := r.NodeUp(id(20), start)
	asks[id(20)] = sent(t, effects, id(20))
	if has(effects, symphony.LinkDown{ID: id(50)}) {
		t.Fatal("the old successor was given up before the new one was up")
	}
	if got, want := r.Successors(), []nodeid.ID{id(40), id(50)}; !slices.Equal(got, want) {
		t.Errorf("successors meanwhile: %v", got)
	}
	if got, want := r.Neighbours(), []nodeid.ID{id(20), id(40), id(50), id(60)}; !slices.Equal(got, want) {
		t.Errorf("neighbours meanwhile: %v", got)
	}
	effects = accept(20)
	if !has(effects, symphony.LinkDown{ID: id(50)}) {
		t.Errorf("the old successor is still kept: %v", effects)
	}
	if closing := sent(t, effects, id(50)); closing.Want != symphony.None {
		t.Errorf("the old successor is not told: %+v", closing)
	}
	if got, want := r.Successors(), []nodeid.ID{id(20), id(40)}; !slices.Equal(got, want) {
		t.Errorf("successors: %v", got)
	}
}

// TestRefusedIsBarred: another node is drawn, and the one that refused only later.
func TestRefusedIsBarred(t *testing.T) {
	r := newRing(0)
	asked := map[nodeid.ID]symphony.Message{}
	collect := func(effects []symphony.Effect) (news []nodeid.ID) {
		for _, e := range effects {
			s, ok := e.(symphony.Send)
			if !ok {
				continue
			}
			m, err := symphony.ParseMessage(s.Message)
			if err != nil {
				t.Fatal(err)
			}
			if m.Want == symphony.LongDistance && asked[s.To] != m {
				news = append(news, s.To)
			}
			asked[s.To] = m
		}
		return news
	}
	const nodes = 30
	for b := byte(1); b <= nodes; b++ {
		collect(r.NodeUp(id(8*b), start))
	}
	var drawn nodeid.ID
	for to, m := range asked {
		if m.Want == symphony.LongDistance {
			drawn = to
		}
	}
	m := asked[drawn]
	others := collect(r.Message(drawn, encode(symphony.Message{Start: 7, Seq: 1, Answer: symphony.Refuse, Echo: m.Start, Ack: m.Seq}), start))
	if asked[drawn].Want != symphony.None {
		t.Error("a refused link is still asked for")
	}
	if len(others) != 1 || others[0] == drawn {
		t.Errorf("after a refusal %v are drawn, want one other", others)
	}
}

// TestIncomingIsCapped: at most 2k long-distance links of others are accepted, and all
// successor links.
func TestIncomingIsCapped(t *testing.T) {
	net := symphonytest.New(symphony.Config{}, rand.New(rand.NewPCG(1, 1)))
	net.JoinAtOnce(64)
	net.Settle()
	node := net.Nodes[net.IDs()[0]]
	answers := map[symphony.Answer]int{}
	for _, from := range net.IDs()[1:] {
		for e := range slices.Values(node.Ring.Message(from, encode(symphony.Message{Start: 99, Seq: 1, Want: symphony.LongDistance, Reply: true}), net.Now)) {
			if s, ok := e.(symphony.Send); ok && s.To == from {
				m, err := symphony.ParseMessage(s.Message)
				if err != nil {
					t.Fatal(err)
				}
				answers[m.Answer]++
			}
		}
	}
	k := symphony.Symphony{}.LongDistance(64)
	if got := answers[symphony.Accept]; got < 2*k-2 || got > 2*k+2 {
		t.Errorf("accepted %d of 63 long-distance links, want about 2k = %d", got, 2*k)
	}
	for _, from := range net.IDs()[1:] {
		node.Ring.Message(from, encode(symphony.Message{Start: 99, Seq: 2, Want: symphony.Successor}), net.Now)
	}
	if got := len(node.Ring.Links()); got != 63 {
		t.Errorf("%d links after 63 successor requests", got)
	}
}

// TestIncomingIsShed: when the ring has become so small that the links are drawn anew,
// what was accepted beyond 2k is taken back.
func TestIncomingIsShed(t *testing.T) {
	r := newRing(0)
	for b := byte(1); b < 64; b++ {
		r.NodeUp(id(4*b), start)
	}
	for b := byte(16); b < 32; b++ {
		r.Message(id(4*b), encode(symphony.Message{Start: 9, Seq: 1, Want: symphony.LongDistance}), start)
	}
	incoming := func() (n int) {
		for _, l := range r.Links() {
			if l.Type == symphony.Incoming {
				n++
			}
		}
		return n
	}
	before := incoming()
	for b := byte(1); b < 64; b++ {
		if b < 16 || b >= 32 {
			r.NodeDown(id(4*b), start)
		}
	}
	// 17 nodes are left; the links were drawn anew when there were less than 32.
	if limit := 2 * (symphony.Symphony{}).LongDistance(31); before <= limit || incoming() > limit {
		t.Errorf("%d incoming links of 64 nodes, then %d, want more than %d, then no more", before, incoming(), limit)
	}
}

// linked returns a ring of nodes 10, 20, 30, 40 and 50, seen by node 10, whose links to
// 20 and 30 are up, and what it told node 20 last.
func linked(t *testing.T) (*symphony.Ring, symphony.Message) {
	t.Helper()
	r := newRing(10)
	last := map[nodeid.ID]symphony.Message{}
	for _, b := range []byte{20, 30, 40, 50} {
		effects := r.NodeUp(id(b), start)
		if b <= 30 {
			last[id(b)] = sent(t, effects, id(b))
		}
	}
	for to, m := range last {
		answer := symphony.Message{Start: 7, Seq: 1, Answer: symphony.Accept, Echo: m.Start, Ack: m.Seq, Reply: true}
		last[to] = sent(t, r.Message(to, encode(answer), start), to)
	}
	if got := r.Successors(); !slices.Equal(got, []nodeid.ID{id(20), id(30)}) {
		t.Fatalf("successors: %v", got)
	}
	return r, last[id(20)]
}

// TestPeerForgets: a peer that begins anew holds nothing of the link; this end sends its side again.
func TestPeerForgets(t *testing.T) {
	r, _ := linked(t)
	effects := r.Message(id(20), encode(symphony.Message{Start: 8, Seq: 1}), start)
	if !has(effects, symphony.LinkDown{ID: id(20)}) {
		t.Errorf("the link is still up: %v", effects)
	}
	if m := sent(t, r.Tick(start.Add(time.Second)), id(20)); m.Want != symphony.Successor || m.Echo != 8 || !m.Reply {
		t.Errorf("told %+v", m)
	}
}

// TestLostNodeIsToldAtOnce: links rely on what this node reaches. Of a new node they
// learn with the next Tick.
func TestLostNodeIsToldAtOnce(t *testing.T) {
	r, before := linked(t)
	down := sent(t, r.NodeDown(id(50), start), id(20))
	for _, e := range r.NodeUp(id(50), start) {
		if s, ok := e.(symphony.Send); ok && s.To == id(20) {
			t.Errorf("a new node is told before the next Tick: %x", s.Message)
		}
	}
	up := sent(t, r.Tick(start), id(20))
	if down.View == before.View || up.View != before.View {
		t.Errorf("the nodes reached were %x, then %x, then %x", before.View, down.View, up.View)
	}
}

// TestNothingChanges: messages that are malformed, foreign, old, repeated or
// acknowledge what was never said leave the ring as it was.
func TestNothingChanges(t *testing.T) {
	r := newRing(10)
	ask := sent(t, r.NodeUp(id(20), start), id(20))
	good := symphony.Message{Start: 7, Seq: 5, Want: symphony.LongDistance, Answer: symphony.Accept, Echo: ask.Start, Ack: ask.Seq}
	r.Message(id(20), encode(good), start)
	before, ignored := r.Links(), r.Ignored()
	old, future := good, good
	old.Seq, old.Want, old.Answer = 4, symphony.None, symphony.Refuse
	future.Seq, future.Ack, future.Answer = 6, good.Ack+100, symphony.Refuse
	for _, tc := range []struct {
		name    string
		from    byte
		message []byte
		counted bool
	}{
		{"empty", 20, nil, true},
		{"garbage", 20, []byte("this is no message at all"), true},
		{"of a stranger", 99, encode(good), true},
		{"of the node itself", 10, encode(good), true},
		{"overtaken", 20, encode(old), true},
		{"acknowledges the future", 20, encode(future), true},
		{"repeated", 20, encode(good), false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := r.Message(id(tc.from), tc.message, start); len(got) != 0 {
				t.Errorf("effects: %v", got)
			}
			if tc.counted {
				ignored++
			}
			if r.Ignored() != ignored {
				t.Errorf("%d messages ignored, want %d", r.Ignored(), ignored)
			}
			if diff := cmp.Diff(before, r.Links()); diff != "" {
				t.Errorf("links (-before +after):\n%s", diff)
			}
		})
	}
	for _, effects := range [][]symphony.Effect{
		r.NodeUp(id(20), start), r.NodeUp(id(10), start), r.NodeDown(id(99), start), r.NodeDown(id(10), start),
	} {
		if len(effects) != 0 {
			t.Errorf("an event without news has effects %v", effects)
		}
	}
}

// TestBouncedSession: one end loses its session and gets another, and the other end
// does not notice. Comparing views brings them together again.
func TestBouncedSession(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rnd := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 4))
		net := symphonytest.New(symphony.Config{Compare: 30 * time.Second}, rnd)
		net.JoinAtOnce(rapid.IntRange(2, 30).Draw(t, "nodes"))
		net.Settle()
		ids := net.IDs()
		for range rapid.IntRange(1, 10).Draw(t, "bounces") {
			node, other := net.Nodes[ids[rnd.IntN(len(ids))]], ids[rnd.IntN(len(ids))]
			net.Do(node, node.Ring.NodeDown(other, net.Now))
			if other != node.ID {
				net.Do(node, node.Ring.NodeUp(other, net.Now))
			}
			for range rnd.IntN(10) {
				net.Step()
			}
		}
		for range 60 {
			net.Tick(time.Second)
			net.Run()
		}
		checkRing(t, net)
	})
}

// TestRedraw: long-distance links stay as they are until the ring has doubled.
func TestRedraw(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 5))
	net := symphonytest.New(symphony.Config{}, rnd)
	net.JoinAtOnce(40)
	net.Settle()
	node := net.Nodes[net.IDs()[0]]
	drawn := func() (ids []nodeid.ID) {
		for id, typ := range node.Links {
			if typ == symphony.LongDistance {
				ids = append(ids, id)
			}
		}
		slices.SortFunc(ids, nodeid.Compare)
		return ids
	}
	grow := func(to int) {
		for len(net.IDs()) < to {
			net.Join(symphonytest.RandomID(rnd))
		}
		net.Run()
		net.Settle()
	}
	before := drawn()
	grow(44)
	if diff := cmp.Diff(before, drawn()); diff != "" {
		t.Errorf("10 %% more nodes (-before +after):\n%s", diff)
	}
	grow(200)
	if cmp.Equal(before, drawn()) {
		t.Error("five times the nodes, and the same links")
	}
}
