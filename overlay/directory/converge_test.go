package directory_test

import (
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"evio/overlay/directory"
	"evio/overlay/nodeid"
)

// The world of the property test: nodes with clocks of their own, a session
// between each two that can break, and records on their way that overtake and
// repeat each other. What is lost is lost with its session, as in service.
const (
	pace      = 500 * time.Millisecond
	actionEnd = 3 * time.Minute
	settled   = actionEnd + 90*time.Second
)

type world struct {
	rt     fataler
	rng    *rand.Rand
	now    time.Time
	ms     []*member
	skew   []time.Duration
	wants  []map[netip.Addr]directory.MAC // of each node, as far as not refused
	cut    map[[2]int]time.Time           // until when
	flying []inFlight
}

type fataler interface {
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

type inFlight struct {
	from, to int
	at       time.Time
	record   []byte
}

// action is something that happens to a node: kinds 0 and 1 claim and withdraw,
// 2 cuts it from another node, 3 from all, 4 restarts it.
type action struct {
	at                        time.Duration
	kind, node, other, number int
	length                    time.Duration
}

func drawAction(rt *rapid.T) action {
	return action{
		at:     time.Duration(rapid.IntRange(0, int(actionEnd/pace)).Draw(rt, "at")) * pace,
		kind:   rapid.SampledFrom([]int{0, 0, 0, 1, 2, 3, 4}).Draw(rt, "kind"),
		node:   rapid.IntRange(0, 3).Draw(rt, "node"),
		other:  rapid.IntRange(0, 3).Draw(rt, "other"),
		number: rapid.IntRange(0, 5).Draw(rt, "number"),
		length: time.Duration(rapid.IntRange(0, 60_000).Draw(rt, "length ms")) * time.Millisecond,
	}
}

func newWorld(rt fataler, n int, seed uint64) *world {
	w := &world{
		rt: rt, rng: rand.New(rand.NewPCG(seed, 0)),
		now: epoch, ms: members(n, epoch), cut: map[[2]int]time.Time{},
	}
	for i := range w.ms {
		w.skew = append(w.skew, time.Duration(w.rng.Int64N(int64(4*time.Minute)))-2*time.Minute)
		w.wants = append(w.wants, map[netip.Addr]directory.MAC{})
		w.ms[i].restart()
	}
	for i := range w.ms {
		for j := range i {
			w.begin(i, j)
		}
	}
	return w
}

func (w *world) clock(i int) time.Time { return w.now.Add(w.skew[i]) }

func pair(i, j int) [2]int { return [2]int{min(i, j), max(i, j)} }

func (w *world) announce(i int, u directory.Update) {
	for j := range w.ms {
		if _, cut := w.cut[pair(i, j)]; j != i && !cut {
			w.post(i, j, u.Announce)
		}
	}
}

func (w *world) post(i, j int, records [][]byte) {
	for _, r := range records {
		for n := 0; n == 0 || w.rng.IntN(5) == 0; n++ {
			w.flying = append(w.flying, inFlight{i, j, w.now.Add(time.Duration(w.rng.Int64N(int64(5 * time.Second)))), r})
		}
	}
}

// begin starts a session: both ends send what is theirs.
func (w *world) begin(i, j int) {
	for _, e := range [2][2]int{{i, j}, {j, i}} {
		a, b := e[0], e[1]
		w.announce(a, w.ms[a].d.NodeReachable(w.ms[b].id, w.clock(a)))
		w.post(a, b, w.ms[a].d.Own(w.clock(a)))
	}
}

// end breaks a session with all that is on its way.
func (w *world) end(i, j int, until time.Time) {
	w.cut[pair(i, j)] = until
	w.flying = slices.DeleteFunc(w.flying, func(l inFlight) bool { return pair(l.from, l.to) == pair(i, j) })
	w.ms[i].d.NodeUnreachable(w.ms[j].id, w.clock(i))
	w.ms[j].d.NodeUnreachable(w.ms[i].id, w.clock(j))
}

func (w *world) advance() {
	w.now = w.now.Add(pace)
	for i := range w.ms { // in order, so that a seed tells all that happens
		for j := range i {
			p := pair(i, j)
			if until, cut := w.cut[p]; cut && w.now.After(until) {
				delete(w.cut, p)
				w.begin(p[0], p[1])
			}
		}
	}
	flying := w.flying
	w.flying = nil
	for _, l := range flying {
		if l.at.After(w.now) {
			w.flying = append(w.flying, l)
			continue
		}
		r, err := w.ms[l.to].d.Apply(l.record, w.clock(l.to), keys(w.ms))
		if err != nil {
			w.rt.Fatal(err)
		}
		w.announce(l.to, r.Update)
	}
	for i, m := range w.ms {
		if next := m.d.NextTick(); !next.IsZero() && !next.After(w.clock(i)) {
			w.announce(i, m.d.Tick(w.clock(i)))
			if next := m.d.NextTick(); !next.IsZero() && !next.After(w.clock(i)) {
				w.rt.Fatal("a tick that was due is due again")
			}
		}
		if m.d.Forgotten(w.clock(i)) {
			w.rt.Fatalf("node %d: a dispute would not be looked at when it ends", i)
		}
	}
}

func (w *world) act(a action) {
	i, j := a.node%len(w.ms), a.other%len(w.ms)
	addr := netip.AddrFrom4([4]byte{10, 0, 0, byte(1 + a.number/2)})
	m := w.ms[i]
	switch a.kind {
	case 0:
		if _, ok := w.wants[i][addr]; !ok {
			w.claim(i, addr, mac(byte(a.number%3)))
		}
	case 1:
		if mac, ok := w.wants[i][addr]; ok {
			delete(w.wants[i], addr)
			w.announce(i, m.d.Withdraw(addr, mac, w.clock(i)))
		}
	case 2:
		if i != j {
			w.end(i, j, w.now.Add(a.length))
		}
	case 3:
		for j := range w.ms {
			if i != j {
				w.end(i, j, w.now.Add(a.length))
			}
		}
	case 4:
		wanted := w.wants[i]
		w.wants[i] = map[netip.Addr]directory.MAC{}
		m.restart()
		for j := range w.ms {
			if i != j {
				w.end(i, j, w.now.Add(a.length))
			}
		}
		for _, addr := range slices.SortedFunc(maps.Keys(wanted), netip.Addr.Compare) { // its containers live
			u, err := m.d.Keep(addr, wanted[addr], w.clock(i))
			if err != nil {
				w.rt.Fatal(err)
			}
			w.wants[i][addr] = wanted[addr]
			w.announce(i, u)
		}
	}
}

func (w *world) claim(i int, addr netip.Addr, m directory.MAC) {
	u, err := w.ms[i].d.Claim(addr, m, w.clock(i))
	if err == nil {
		w.wants[i][addr] = m
	}
	w.announce(i, u)
}

func (w *world) number(id nodeid.ID) int {
	return slices.IndexFunc(w.ms, func(m *member) bool { return m.id == id })
}

// owners returns who holds what in the view of a node.
func (w *world) owners(i int) map[directory.Key]nodeid.ID {
	o := map[directory.Key]nodeid.ID{}
	for _, e := range w.ms[i].d.Entries() {
		k := directory.Key{Addr: e.Addr}
		if !e.Addr.IsValid() {
			k.MAC = e.MAC
		}
		if e.Contested {
			w.rt.Fatalf("node %d: two nodes claim %v", i, k)
		}
		o[k] = e.Node
	}
	return o
}

// Whatever happened: when all nodes reach each other again, they agree on one
// owner of each key, it is one that wants it, nothing that can be used is without
// owner, every address is answered, and a node that has lost one knows to whom.
func TestConverges(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		actions := rapid.SliceOfN(rapid.Custom(drawAction), 1, 25).Draw(rt, "actions")
		nodes := rapid.IntRange(2, 4).Draw(rt, "nodes")
		newWorld(rt, nodes, rapid.Uint64().Draw(rt, "seed")).converge(actions)
	})
}

// What had not converged once.
func TestConvergesAgain(t *testing.T) {
	const s = time.Second
	for _, c := range []struct {
		name    string
		nodes   int
		seed    uint64
		actions []action
	}{
		{"a dispute goes on when the rival has begun anew", 3, 0xc4, []action{
			{at: 64 * s, kind: 4}, {at: s / 2, node: 1}, {at: 7 * s / 2, number: 1}, {at: 3 * s / 2, number: 2},
			{kind: 3, length: 115 * s / 2}, {at: 23 * s, node: 2, number: 3}, {at: 5 * s / 2, node: 1, number: 5},
		}},
		{"an earlier dispute says nothing of a new claim", 2, 0x6c2, []action{
			{}, {at: 243 * s / 2, kind: 3, length: 60 * s}, {at: 8 * s, number: 5}, {node: 1, number: 5},
			{at: 15 * s / 2, kind: 4, node: 2, length: 56413 * s / 1000},
		}},
		{"testimonies came to each owner with another age", 4, 0x4cb, []action{
			{kind: 1}, {}, {at: s / 2, node: 3, number: 4}, {at: s / 2, node: 3, number: 4},
			{at: s / 2, kind: 3}, {kind: 1, number: 5}, {at: 3 * s / 2}, {at: 347 * s / 2, number: 5},
			{at: 3 * s, node: 2, number: 5}, {at: 53 * s, node: 3, number: 1}, {at: 159 * s, node: 3, number: 2},
			{at: 2 * s, number: 5}, {at: 45 * s, node: 1, number: 2}, {kind: 4, node: 1, length: 74 * s / 1000},
			{at: 148 * s, number: 5}, {at: 35 * s / 2, kind: 3, length: s / 1000},
			{at: 137 * s / 2, kind: 3, node: 1, length: 7 * s / 1000}, {at: 123 * s / 2, node: 2, number: 3},
			{at: 4 * s, kind: 3, node: 1, length: 24448 * s / 1000},
			{at: 128 * s, kind: 4, node: 2, length: 365 * s / 1000}, {at: 79 * s, kind: 4, length: 58391 * s / 1000},
			{at: 145 * s / 2}, {at: 39 * s / 2, node: 1, number: 1}, {at: 11 * s, number: 1},
			{at: 251 * s / 2, kind: 4, node: 1, length: 2 * s / 1000},
		}},
	} {
		t.Run(c.name, func(t *testing.T) { newWorld(t, c.nodes, c.seed).converge(c.actions) })
	}
}

// converge lets all that happen and then checks what the nodes know.
func (w *world) converge(actions []action) {
	for at := time.Duration(0); at <= actionEnd; at += pace {
		w.advance()
		for _, a := range actions {
			if a.at == at {
				w.act(a)
			}
		}
	}
	for w.now.Before(epoch.Add(settled)) {
		w.advance()
	}

	first := w.owners(0)
	for i := range w.ms {
		if diff := cmp.Diff(first, w.owners(i), cmp.Comparer(func(a, b directory.Key) bool { return a == b })); diff != "" {
			w.rt.Fatalf("nodes 0 and %d differ: %s", i, diff)
		}
	}
	wanted := map[directory.Key][]nodeid.ID{}
	for i, wants := range w.wants {
		for addr, mac := range wants {
			wanted[directory.Key{Addr: addr}] = append(wanted[directory.Key{Addr: addr}], w.ms[i].id)
			wanted[directory.Key{MAC: mac}] = append(wanted[directory.Key{MAC: mac}], w.ms[i].id)
		}
	}
	for k, by := range wanted {
		if k.Addr.IsValid() { // of use to those who hold its MAC address
			by = slices.DeleteFunc(by, func(id nodeid.ID) bool {
				return first[directory.Key{MAC: w.wants[w.number(id)][k.Addr]}] != id
			})
		}
		if owner, held := first[k]; held != (len(by) > 0) || held && !slices.Contains(by, owner) {
			w.rt.Fatalf("%v belongs to %v, wanted by %v", k, owner, by)
		}
		if e, ok := w.ms[0].d.Lookup(k.Addr); k.Addr.IsValid() && (ok != (len(by) > 0) || ok && e.Node != first[k]) {
			w.rt.Fatalf("%v is answered by %v, %v", k, e.Node, ok)
		}
	}
	for i, m := range w.ms {
		lost := map[netip.Addr]nodeid.ID{}
		for _, c := range m.d.Conflicts(w.clock(i)) {
			lost[c.Addr] = c.Owner
		}
		for addr, mac := range w.wants[i] {
			owner := first[directory.Key{Addr: addr}]
			if owner.IsZero() {
				owner = first[directory.Key{MAC: mac}]
			}
			if shown, ok := lost[addr]; ok != (owner != m.id) || ok && shown != owner {
				w.rt.Fatalf("node %d: %v belongs to %v, a conflict with %v is shown: %v", i, addr, owner, shown, ok)
			}
		}
	}
	for k := range first {
		if wanted[k] == nil {
			w.rt.Fatalf("%v belongs to %v, who does not want it", k, first[k])
		}
	}
}

// Records that nobody made, that belong to others or that are over change nothing.
func TestForeignRecordsChangeNothing(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		ms := members(3, epoch)
		a, b, c := ms[0], ms[1], ms[2]
		now := epoch
		var old [][]byte
		u, err := a.d.Claim(ip("10.0.0.1"), mac(1), now)
		if err != nil {
			rt.Fatal(err)
		}
		old = append(old, u.Announce...)
		now = now.Add(time.Second)
		u = a.d.Withdraw(ip("10.0.0.1"), mac(1), now)
		gone := u.Announce
		now = now.Add(time.Second)
		u, err = c.d.Claim(ip("10.0.0.2"), mac(2), now)
		if err != nil {
			rt.Fatal(err)
		}
		for _, r := range slices.Concat(gone, u.Announce) {
			if _, err := b.d.Apply(r, now, keys(ms)); err != nil {
				rt.Fatal(err)
			}
		}
		before := b.d.Entries()

		now = now.Add(time.Duration(rapid.IntRange(0, 3600).Draw(rt, "seconds")) * time.Second)
		pool := slices.Concat(old, gone, u.Announce)
		for range rapid.IntRange(1, 10).Draw(rt, "records") {
			r := slices.Clone(rapid.SampledFrom(pool).Draw(rt, "record"))
			if rapid.Bool().Draw(rt, "forged") {
				r[rapid.IntRange(0, len(r)-1).Draw(rt, "at")] ^= byte(1 << rapid.IntRange(0, 7).Draw(rt, "bit"))
			}
			if r, err := b.d.Apply(r, now, keys(ms)); err == nil && (len(r.Changes) > 0 || len(r.Announce) > 0) {
				rt.Fatalf("changed %+v", r)
			}
		}
		if diff := cmp.Diff(before, b.d.Entries(), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
			rt.Fatal(diff)
		}
	})
}
