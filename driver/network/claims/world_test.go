package claims

import (
	"net/netip"
	"slices"
	"time"

	"evio/datapath/packet"
	"evio/driver/network/admission"
	"evio/overlay/nodeid"
)

var epoch = time.UnixMilli(1_800_000_000_000)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func hw(n byte) MAC { return MAC{2, 0, 0, 0, 0, n} }

var (
	vip    = addr("10.1.0.200")
	vip6   = addr("fd00::200")
	router = MAC{0, 0, 0x5e, 0, 1, 51}
	rules  = Rules{Mode: admission.Claim, Subnets: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("fd00::/64")}}
)

// world is a directory that all nodes see at once, and engines with containers.
type world struct {
	t       interface{ Errorf(string, ...any) }
	now     time.Time
	holders map[Key]holding
	engines []*engine
	slow    time.Duration // what a bridge takes for new flows
}

type holding struct {
	claim Claim
	at    *engine
	given bool
}

// engine is one machine and what it asked for.
type engine struct {
	w     *world
	id    nodeid.ID
	m     *Machine
	boxes map[string]*station

	queue  []Effect
	busy   bool
	late   []Take // what the directory has not answered
	silent bool   // it does not
	news   bool   // of the directory

	installs []install
	counts   map[Cause]int
	asked    int // questions to other nodes
	told     int // answers to these
	announce []Claim
	refusals []Refused
	offered  int // frames of containers
	passed   int // of these, delivered
}

type install struct {
	at  time.Time
	gen uint64
}

// station is a container: it answers for what it has.
type station struct {
	mac  MAC
	has  map[netip.Addr]bool
	sent [][]byte // delivered
}

func newWorld(t interface{ Errorf(string, ...any) }, n int, r Rules) *world {
	w := &world{t: t, now: epoch, holders: map[Key]holding{}, slow: 20 * time.Millisecond}
	for i := range n {
		w.engines = append(w.engines, &engine{
			w: w, id: nodeid.ID{byte(i + 1)}, m: New(r), boxes: map[string]*station{}, counts: map[Cause]int{},
		})
	}
	return w
}

// box attaches container n, with address 10.1.0.n.
func (e *engine) box(id string, n byte) *station {
	given := netip.AddrFrom4([4]byte{10, 1, 0, n})
	b := &station{mac: hw(n), has: map[netip.Addr]bool{}}
	e.boxes[id] = b
	e.do(e.m.Add(id, b.mac, []netip.Addr{given}, nil, e.w.now))
	for _, k := range []Key{{MAC: b.mac}, {Addr: given}} {
		before, held := e.w.holders[k]
		e.w.holders[k] = holding{Claim{Addr: k.Addr, MAC: b.mac}, e, true}
		if held && before.at != e {
			before.at.do(before.at.m.Lost(k, Holder{Node: e.id, Given: true}, e.w.now))
		}
	}
	return b
}

func (e *engine) kill(id string) {
	b := e.boxes[id]
	delete(e.boxes, id)
	for k, h := range e.w.holders {
		if h.at == e && h.given && h.claim.MAC == b.mac {
			delete(e.w.holders, k)
		}
	}
	e.do(e.m.Remove(id, e.w.now))
	e.w.changed()
}

func (e *engine) send(id string, frame []byte) {
	e.offered++
	e.do(e.m.Frame(id, frame, e.w.now))
}

// do carries out effects as a driver does, the answers of the directory at once.
func (e *engine) do(effects []Effect) {
	e.queue = append(e.queue, effects...)
	if !e.silent {
		for _, x := range e.late {
			e.queue = append(e.queue, x)
		}
		e.late = nil
	}
	if e.busy {
		return
	}
	e.busy = true
	for len(e.queue) > 0 || e.news {
		if len(e.queue) == 0 {
			e.news = false
			e.queue = e.m.Retry(e.w.now)
			continue
		}
		x := e.queue[0]
		e.queue = e.queue[1:]
		e.queue = append(e.queue, e.effect(x)...)
	}
	e.busy = false
}

func (e *engine) effect(x Effect) []Effect {
	switch x := x.(type) {
	case Take:
		if e.silent {
			e.late = append(e.late, x)
			return nil
		}
		return e.m.Taken(x.Container, x.Claim, e.take(x.Claim), e.w.now)
	case Withdraw:
		k := x.Claim.Key()
		if h, ok := e.w.holders[k]; ok && h.at == e && !h.given {
			delete(e.w.holders, k)
			e.w.changed()
		}
	case Changed:
		e.installs = append(e.installs, install{e.w.now.Add(e.w.slow), x.Gen})
	case Deliver:
		e.passed++
		if b := e.boxes[x.Container]; b != nil {
			b.sent = append(b.sent, x.Frame)
		}
	case Announce:
		e.announce = append(e.announce, x.Claim)
	case Probe:
		if b := e.boxes[x.Container]; b != nil && b.has[x.Claim.Addr] {
			return e.m.Answered(x.Claim, e.w.now)
		}
	case Look:
		return e.m.Looked(x.Container, nil, e.w.now)
	case GiveWay:
		e.asked++
		if o := e.w.at(x.Node); o != nil {
			o.do(o.m.Asked(e.id, x.Key, x.Asker, e.w.now))
		}
	case Kept:
		e.told++
		if o := e.w.at(x.Node); o != nil {
			o.do(o.m.Stays(e.id, x.Key, x.Holder))
		}
	case Count:
		e.counts[x.Cause]++
	case Refused:
		e.refusals = append(e.refusals, x)
	}
	return nil
}

func (e *engine) take(c Claim) Outcome {
	if c.LinkLocal() {
		return Outcome{}
	}
	k := c.Key()
	if h, held := e.w.holders[k]; held && (h.at != e || h.given) {
		return Outcome{Cause: Held, Holder: Holder{Node: h.at.id, Given: h.given}}
	}
	if c.Addr == addr("10.1.0.1") {
		return Outcome{Cause: Outside, Final: true}
	}
	e.w.holders[k] = holding{c, e, false}
	return Outcome{}
}

func (w *world) at(id nodeid.ID) *engine {
	for _, e := range w.engines {
		if e.id == id {
			return e
		}
	}
	return nil
}

// changed has all engines see that the directory has changed.
func (w *world) changed() {
	for _, e := range w.engines {
		e.news = true
		e.do(nil)
	}
}

// run lets time pass.
func (w *world) run(d time.Duration) {
	for end := w.now.Add(d); w.now.Before(end); w.now = w.next(end) {
		for _, e := range w.engines {
			for len(e.installs) > 0 && !w.now.Before(e.installs[0].at) {
				gen := e.installs[0].gen
				e.installs = e.installs[1:]
				e.do(e.m.Installed(gen, w.now))
			}
			if next := e.m.NextTick(); !next.IsZero() && !w.now.Before(next) {
				e.do(e.m.Tick(w.now))
			}
		}
	}
}

// next returns when something is due, a little later than now.
func (w *world) next(end time.Time) time.Time {
	next := end
	for _, e := range w.engines {
		if at := e.m.NextTick(); !at.IsZero() && at.Before(next) {
			next = at
		}
		if len(e.installs) > 0 && e.installs[0].at.Before(next) {
			next = e.installs[0].at
		}
	}
	if soon := w.now.Add(5 * time.Millisecond); next.Before(soon) {
		return soon
	}
	return next
}

// holds says which container has a key, empty for none.
func (w *world) holds(k Key) string {
	var all []string
	for _, e := range w.engines {
		for id := range e.boxes {
			if slices.ContainsFunc(e.m.Granted(id), func(c Claim) bool { return c.Key() == k }) {
				all = append(all, id)
			}
		}
	}
	if len(all) > 1 {
		w.t.Errorf("%v is at %v", k, all)
	}
	return append(all, "")[0]
}

func gratuitous(a netip.Addr, mac MAC) []byte { return packet.Announce(nil, a, mac) }
