package directory_test

import (
	"bytes"
	"crypto/ed25519"
	"net/netip"
	"testing"
	"time"

	"evio/overlay/directory"
	"evio/overlay/nodeid"
)

const overlay = "blue"

var (
	epoch = time.UnixMilli(1_800_000_000_000)
	net10 = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24"), netip.MustParsePrefix("fd00::/64")}
	ip    = netip.MustParseAddr
	none  netip.Addr
)

func mac(n byte) directory.MAC { return directory.MAC{2, 0, 0, 0, 0, n} }

// member is one node with its directory and a clock of its own.
type member struct {
	priv ed25519.PrivateKey
	id   nodeid.ID
	d    *directory.Directory
}

// members returns n nodes in the order of their IDs that reach each other.
func members(n int, now time.Time) []*member {
	var ms []*member
	for seed := byte(1); len(ms) < n; seed++ {
		priv := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))
		m := &member{priv: priv, id: nodeid.FromKey(priv.Public().(ed25519.PublicKey), overlay)}
		if len(ms) > 0 && nodeid.Compare(ms[len(ms)-1].id, m.id) > 0 {
			continue
		}
		m.restart()
		ms = append(ms, m)
	}
	for _, a := range ms {
		for _, b := range ms {
			if a != b {
				a.d.NodeReachable(b.id, now)
			}
		}
	}
	return ms
}

func (m *member) restart() { m.begin(nil, epoch) }

// begin begins another life with what is known.
func (m *member) begin(known []byte, now time.Time) {
	d, err := directory.New(m.id, m.priv, overlay, directory.Config{Subnets: net10, Known: known}, now)
	if err != nil {
		panic(err)
	}
	m.d = d
}

// keys returns the members' public keys as Apply asks for them.
func keys(ms []*member) func(nodeid.ID) (ed25519.PublicKey, bool) {
	return func(id nodeid.ID) (ed25519.PublicKey, bool) {
		for _, m := range ms {
			if m.id == id {
				return m.priv.Public().(ed25519.PublicKey), true
			}
		}
		return nil, false
	}
}

// town is a set of members between which records travel at once.
type town struct {
	t   *testing.T
	now time.Time
	ms  []*member
	// lying are members whose directory neither hears nor says anything.
	lying map[int]bool
}

func newTown(t *testing.T, n int) *town { return &town{t: t, now: epoch, ms: members(n, epoch)} }

func (w *town) claim(i int, addr netip.Addr, m directory.MAC) directory.Update {
	w.t.Helper()
	u, err := w.ms[i].d.Claim(addr, m, w.now)
	if err != nil {
		w.t.Fatal(err)
	}
	return u
}

// give brings records to members; what these announce in turn goes to everybody.
func (w *town) give(records [][]byte, to ...int) directory.Result {
	w.t.Helper()
	var last directory.Result
	for _, i := range to {
		if w.lying[i] {
			continue
		}
		for _, record := range records {
			r, err := w.ms[i].d.Apply(record, w.now, keys(w.ms))
			if err != nil {
				w.t.Fatal(err)
			}
			last = r
			w.everybody(i, r.Announce)
		}
	}
	return last
}

func (w *town) everybody(from int, records [][]byte) {
	w.t.Helper()
	for i := range w.ms {
		if i != from {
			w.give(records, i)
		}
	}
}

func (w *town) cut(a, b int) {
	w.ms[a].d.NodeUnreachable(w.ms[b].id, w.now)
	w.ms[b].d.NodeUnreachable(w.ms[a].id, w.now)
}

// meet begins a session in which the second member has not said anything yet.
func (w *town) meet(a, b int) { //nolint:unparam // as heal
	w.t.Helper()
	w.everybody(a, w.ms[a].d.NodeReachable(w.ms[b].id, w.now).Announce)
	w.give(w.ms[a].d.Own(w.now), b)
}

func (w *town) heal(a, b int) {
	w.t.Helper()
	ua, ub := w.ms[a].d.NodeReachable(w.ms[b].id, w.now), w.ms[b].d.NodeReachable(w.ms[a].id, w.now)
	oa, ob := w.ms[a].d.Own(w.now), w.ms[b].d.Own(w.now)
	w.everybody(a, ua.Announce)
	w.everybody(b, ub.Announce)
	w.give(oa, b)
	w.give(ob, a)
}

func (w *town) pass(d time.Duration) {
	w.t.Helper()
	w.now = w.now.Add(d)
	for i, m := range w.ms {
		if !w.lying[i] {
			w.everybody(i, m.d.Tick(w.now).Announce)
		}
	}
}

// apart lets time pass while nothing goes between one member and the others.
func (w *town) apart(d time.Duration, lone int) {
	w.t.Helper()
	w.now = w.now.Add(d)
	for i, m := range w.ms {
		if w.lying[i] {
			continue
		}
		announced := m.d.Tick(w.now).Announce
		for j := range w.ms {
			if i != j && i != lone && j != lone {
				w.give(announced, j)
			}
		}
	}
}

// wantHolder checks who answers for an address at each of some members; -1: nobody.
func (w *town) wantHolder(addr string, want int, at ...int) {
	w.t.Helper()
	for _, i := range at {
		e, ok := w.ms[i].d.Lookup(ip(addr))
		switch {
		case !ok && want >= 0:
			w.t.Errorf("member %d: nobody answers for %s, want member %d", i, addr, want)
		case ok && (want < 0 || e.Node != w.ms[want].id):
			w.t.Errorf("member %d: %s is at %v, want member %d", i, addr, e.Node, want)
		}
	}
}
