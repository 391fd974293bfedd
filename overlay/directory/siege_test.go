package directory_test

import (
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"

	"evio/overlay/directory"
	"evio/overlay/nodeid"
)

// The world of the property about a member that lies: honest nodes, each with addresses
// that no other honest node wants, and one that says what it likes to whom it likes,
// when it likes. Sessions break, letters overtake each other, nodes begin anew.
const (
	siegeEnd   = 150 * time.Second
	siegeQuiet = 40 * time.Second
	firm       = time.Minute
	inReach    = 5 * time.Second
)

type siege struct {
	rt       *rapid.T
	rng      *rand.Rand
	now      time.Time
	ms       []*member // the last one lies
	ranged   bool
	up       map[[2]int]time.Time // since when there is a session
	back     map[[2]int]time.Time // when there is one again
	flying   []inFlight
	holds    []map[netip.Addr]*holding // of each honest node
	down     map[int]time.Time         // nodes that do not run, and until when
	files    map[int][]byte            // what such a node knows
	fell     map[int]bool              // nodes that were down for so long that what they held may be another's
	sequence uint64
}

// holding is an address that an honest node wants.
type holding struct {
	mac   directory.MAC
	since time.Time         // since when nobody follows another one there
	liars map[int]time.Time // since when such a node follows the liar
	void  bool              // for a minute one did: it was the liar's before
	seen  map[int]bool      // nodes that have followed it since then, and have not forgotten
}

func (h *holding) firm(now time.Time) bool { return now.Sub(h.since) > firm }

func (w *siege) liar() int { return len(w.ms) - 1 }

func (w *siege) begin(i int, known []byte) {
	d, err := directory.New(w.ms[i].id, w.ms[i].priv, overlay, directory.Config{Subnets: net10, Known: known}, w.now)
	if err != nil {
		w.rt.Fatal(err)
	}
	w.ms[i].d = d
	if w.ranged {
		d.SetRanges([]netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(16 * (i + 1))}), 28)}, w.now)
	}
}

func (w *siege) announce(i int, u directory.Update) {
	for j := range w.ms {
		if _, up := w.up[pair(i, j)]; up && j != i {
			w.post(i, j, u.Announce)
		}
	}
}

func (w *siege) post(i, j int, records [][]byte) {
	if j == w.liar() {
		return
	}
	for _, r := range records {
		w.flying = append(w.flying, inFlight{i, j, w.now.Add(time.Duration(w.rng.Int64N(int64(600 * time.Millisecond)))), r})
	}
}

func (w *siege) connect(i, j int) {
	delete(w.back, pair(i, j))
	w.up[pair(i, j)] = w.now
	for _, e := range [2][2]int{{i, j}, {j, i}} {
		a, b := e[0], e[1]
		if a != w.liar() {
			w.announce(a, w.ms[a].d.NodeReachable(w.ms[b].id, w.now))
			own := w.ms[a].d.Own(w.now)
			w.post(a, b, own[:len(own)-1])
			if b != w.liar() { // the end of an earlier life comes last, as in service
				w.flying = append(w.flying, inFlight{a, b, w.now.Add(600 * time.Millisecond), own[len(own)-1]})
			}
		}
	}
}

func (w *siege) cut(i, j int, d time.Duration) {
	p := pair(i, j)
	w.back[p] = w.now.Add(d)
	if _, up := w.up[p]; !up {
		return
	}
	delete(w.up, p)
	var left []inFlight
	for _, l := range w.flying {
		if pair(l.from, l.to) != p {
			left = append(left, l)
		}
	}
	w.flying = left
	for _, e := range [2][2]int{{i, j}, {j, i}} {
		if _, down := w.down[e[0]]; e[0] != w.liar() && !down {
			w.ms[e[0]].d.NodeUnreachable(w.ms[e[1]].id, w.now)
		}
	}
}

// say brings a lie to an honest node, if the liar has a session with it.
func (w *siege) say(to int, c directory.Claim) {
	if _, up := w.up[pair(to, w.liar())]; !up {
		return
	}
	m := w.ms[w.liar()]
	w.sequence = max(w.sequence+1, uint64(w.now.UnixNano()))
	c.Owner, c.Sequence, c.Expiry = m.id, w.sequence, w.now.Add(directory.Lifetime)
	w.hand(to, directory.Sign(m.priv, overlay, c))
}

func (w *siege) hand(to int, record []byte) {
	if _, down := w.down[to]; down {
		return
	}
	if r, err := w.ms[to].d.Apply(record, w.now, keys(w.ms)); err == nil {
		w.announce(to, r.Update)
	}
}

// advance lets half a second pass.
func (w *siege) advance() {
	w.now = w.now.Add(pace)
	for i := range w.ms {
		if until, down := w.down[i]; down && !w.now.Before(until) {
			w.rise(i)
		}
	}
	for i := range w.ms {
		for j := range i {
			_, a := w.down[i]
			_, b := w.down[j]
			if at, ok := w.back[pair(i, j)]; ok && !a && !b && !w.now.Before(at) {
				w.connect(i, j)
			}
		}
	}
	flying := w.flying
	w.flying = nil
	for _, l := range flying {
		if l.at.After(w.now) {
			w.flying = append(w.flying, l)
		} else {
			w.hand(l.to, l.record)
		}
	}
	for i := range w.liar() {
		if _, down := w.down[i]; down {
			continue
		}
		if next := w.ms[i].d.NextTick(); !next.IsZero() && !next.After(w.now) {
			w.announce(i, w.ms[i].d.Tick(w.now))
		}
	}
}

// rise begins a node's next life, in which its containers run on.
func (w *siege) rise(i int) {
	delete(w.down, i)
	w.begin(i, w.files[i])
	for addr, h := range w.holds[i] {
		if len(h.seen) == 0 { // it begins anew
			h.since = w.now
		}
		if _, err := w.ms[i].d.Keep(addr, h.mac, w.now); err != nil {
			w.rt.Fatal(err)
		}
	}
}

// fall ends a node's life. A short break with what it knew is none for its neighbours;
// otherwise what it held may be taken.
func (w *siege) fall(i int, d time.Duration, known bool) {
	w.files[i] = nil
	if known {
		w.files[i] = w.ms[i].d.Known(w.now)
	}
	w.down[i] = w.now.Add(d)
	w.fell[i] = w.fell[i] || d > time.Second || !known
	for j := range w.ms {
		if j != i {
			w.cut(i, j, d)
		}
	}
	for n, holds := range w.holds {
		for _, h := range holds {
			if n == i && (!known || d > time.Second) {
				h.since, h.seen = w.now, map[int]bool{}
			}
			if n != i && !known {
				delete(h.seen, i)
			}
		}
	}
}

type move struct {
	at                                 int // half seconds
	kind, node, number, form, whom, up int
	length                             int // half seconds
}

func drawMove(rt *rapid.T) move {
	return move{
		at:     rapid.IntRange(0, int(siegeEnd/pace)).Draw(rt, "at"),
		kind:   rapid.SampledFrom([]int{0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 5}).Draw(rt, "kind"),
		node:   rapid.IntRange(0, 3).Draw(rt, "node"),
		number: rapid.IntRange(0, 1).Draw(rt, "number"),
		form:   rapid.IntRange(0, 11).Draw(rt, "form"),
		whom:   rapid.IntRange(0, 15).Draw(rt, "whom"),
		up:     rapid.IntRange(0, 4).Draw(rt, "generation"),
		length: rapid.IntRange(1, 80).Draw(rt, "length"),
	}
}

func siegeAddr(i, number int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, 0, 0, byte(16*(i+1) + 1 + number)})
}

func siegeMAC(i, number int) directory.MAC { return mac(byte(16*(i+1) + number)) }

func (w *siege) act(m move) {
	i := m.node % w.liar()
	_, down := w.down[i]
	switch m.kind {
	case 0: // lie, and mostly keep the sessions
		for to := range w.liar() {
			if m.whom>>to&1 == 1 {
				w.lie(to, i, m)
			}
		}
	case 1: // the liar comes and goes
		for to := range w.liar() {
			if m.whom>>to&1 == 1 {
				w.cut(to, w.liar(), time.Duration(m.length)*pace)
			}
		}
	case 2: // a container comes or goes
		addr := siegeAddr(i, m.number)
		h := w.holds[i][addr]
		switch {
		case down:
		case h != nil && m.form == 0:
			delete(w.holds[i], addr)
			w.announce(i, w.ms[i].d.Withdraw(addr, h.mac, w.now))
		case h == nil:
			u, err := w.ms[i].d.Claim(addr, siegeMAC(i, m.number), w.now)
			w.announce(i, u)
			if err == nil {
				w.holds[i][addr] = &holding{mac: siegeMAC(i, m.number), since: w.now, seen: map[int]bool{}, liars: map[int]time.Time{}}
			}
		}
	case 3: // two honest nodes do not reach each other
		if j := (i + 1 + m.number) % w.liar(); i != j {
			w.cut(i, j, time.Duration(m.length)*pace)
		}
	case 4:
		if !down {
			w.fall(i, time.Duration(m.length)*pace/2, m.form%2 == 0)
		}
	case 5:
		if !down {
			w.fall(i, pace, true)
		}
	}
}

// lie says something about an address of an honest node.
func (w *siege) lie(to, victim int, m move) {
	generation := []uint64{1, 2, 3, 1000, highest}[m.up]
	addr, hw := siegeAddr(victim, m.number), siegeMAC(victim, m.number)
	own := directory.MAC{2, 0, 0, 0, 7, byte(m.number)}
	life := uint64(0)
	if m.length%3 == 0 {
		life = uint64(w.now.UnixNano())
		w.sequence = max(w.sequence, life)
	}
	switch m.form {
	case 0, 1, 2:
		w.say(to, directory.Claim{MAC: hw, Generation: generation, Life: life})
		w.say(to, directory.Claim{Addr: addr, MAC: hw, Generation: generation, Life: life, Disputed: m.form == 1})
	case 3, 4:
		w.say(to, directory.Claim{MAC: own, Generation: generation, Life: life})
		w.say(to, directory.Claim{Addr: addr, MAC: own, Generation: generation, Life: life, Taken: m.form == 4})
	case 5:
		w.say(to, directory.Claim{MAC: hw, Generation: generation, Withdrawn: true, Released: m.length%2 == 0})
	case 6:
		w.say(to, directory.Claim{Addr: addr, MAC: hw, Generation: generation, Withdrawn: true, Released: m.length%2 == 0})
	case 7, 8:
		for n := range w.liar() {
			since := w.now.Add(-time.Duration(m.length) * time.Hour)
			w.say(to, directory.Claim{MAC: siegeMAC(victim, m.number), Follows: w.ms[(n+m.length)%w.liar()].id, Since: since})
			w.say(to, directory.Claim{Addr: addr, Follows: w.ms[(n+m.length)%w.liar()].id, Since: since})
		}
	case 9: // all of before is void
		now := uint64(w.now.UnixNano())
		w.sequence = max(w.sequence, now)
		w.say(to, directory.Claim{Withdrawn: true, Life: now})
	default:
		if w.ranged {
			bits := []int{25, 27, 28, 29, 30}[m.up]
			r := netip.PrefixFrom(addr, bits).Masked()
			w.say(to, directory.Claim{Addr: r.Addr(), Bits: uint8(bits), Generation: generation})
		}
	}
}

func (w *siege) holder(i int, addr netip.Addr) nodeid.ID {
	e, _ := w.ms[i].d.Lookup(addr)
	return e.Node
}

// judge fails if an honest node has lost what it had held for a minute, at itself or at
// a node that had followed it and has been in reach for five seconds.
func (w *siege) judge() {
	for i, holds := range w.holds {
		if _, down := w.down[i]; down {
			continue
		}
		for addr, h := range holds {
			h.judge(w, i, addr)
		}
	}
}

func (h *holding) judge(w *siege, i int, addr netip.Addr) {
	self, liar := w.ms[i].id, w.ms[w.liar()].id
	if got := w.holder(i, addr); got != self {
		if h.firm(w.now) && !h.void {
			w.rt.Fatalf("%v: node %d has lost %v to %v (liar: %v)", w.now.Sub(epoch), i, addr, got, got == liar)
		}
		h.since, h.seen = w.now, map[int]bool{}
		return
	}
	support := false
	for j := range w.liar() {
		since, up := w.up[pair(i, j)]
		if _, down := w.down[j]; j == i || down {
			continue
		}
		got := w.holder(j, addr)
		if m, _ := w.ms[j].d.LookupMAC(h.mac); got == (nodeid.ID{}) && m.Node == liar {
			got = liar
		}
		if w.fell[i] && w.ms[j].d.RangeHolder(addr) == liar {
			h.void = true
		}
		if h.tainted(w, j, got == liar) {
			return
		}
		switch {
		case up && got == self:
			support, h.seen[j] = true, true
		case up && h.seen[j] && h.firm(w.now) && w.now.Sub(since) > inReach:
			w.rt.Fatalf("%v: node %d has forgotten that %v is at %d and says %v (liar: %v)", w.now.Sub(epoch), j, addr, i, got, got == liar)
		case got == liar && !h.firm(w.now):
			h.since = w.now // it was there before
		}
	}
	if !support {
		h.since = w.now // nobody could say whose it is
	}
}

// tainted notes who follows the liar, and reports whether an honest node did so for a
// minute: then the address was the liar's first.
func (h *holding) tainted(w *siege, j int, liar bool) bool {
	if since, ok := h.liars[j]; liar && !ok {
		h.liars[j] = w.now
	} else if liar && w.now.Sub(since) >= firm {
		h.void = true
	} else if !liar {
		delete(h.liars, j)
	}
	return h.void
}

// With any order, loss and timing, and whatever one member does: what an honest node has
// held for a minute stays with it, for itself and for all that have followed it, and once
// it is quiet for everybody.
func TestOneLiar(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		moves := rapid.SliceOfN(rapid.Custom(drawMove), 5, 60).Draw(rt, "moves")
		w := &siege{
			rt: rt, rng: rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 0)), now: epoch,
			ms: members(rapid.IntRange(4, 5).Draw(rt, "nodes"), epoch), ranged: rapid.Bool().Draw(rt, "ranges"),
			up: map[[2]int]time.Time{}, back: map[[2]int]time.Time{}, down: map[int]time.Time{}, files: map[int][]byte{}, fell: map[int]bool{},
		}
		if rapid.Bool().Draw(rt, "high") { // of all IDs the liar's may be the lowest
			w.ms[0], w.ms[w.liar()] = w.ms[w.liar()], w.ms[0]
		}
		for i := range w.liar() {
			w.begin(i, nil)
			w.holds = append(w.holds, map[netip.Addr]*holding{})
		}
		for i := range w.ms {
			for j := range i {
				w.connect(j, i)
			}
		}
		for range 2 * 65 { // the ranges were there for a minute
			w.advance()
		}
		for i := range w.liar() {
			w.act(move{kind: 2, node: i, form: 1})
		}
		for at := 0; at <= int(siegeEnd/pace); at++ {
			w.advance()
			for _, m := range moves {
				if m.at == at {
					w.act(m)
				}
			}
			w.judge()
		}
		for at := time.Duration(0); at < siegeQuiet+siegeQuiet; at += pace {
			w.advance()
			w.judge()
		}
		for i, holds := range w.holds {
			for addr, h := range holds {
				for j := range w.liar() {
					if got := w.holder(j, addr); !h.void && h.firm(w.now) && got != w.ms[i].id {
						rt.Fatalf("in the end node %d says %v of %v, which is at %d", j, got, addr, i)
					}
				}
			}
		}
	})
}
