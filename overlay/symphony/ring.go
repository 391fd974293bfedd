package symphony

import (
	"iter"
	"math/rand/v2"
	"slices"
	"time"

	"evio/internal/backoff"
	"evio/overlay/nodeid"
)

// Config are the settings of a Ring. The zero value of each field stands for its
// default.
type Config struct {
	// Topology is the same at all nodes. Default: Symphony{}.
	Topology Topology
	// Retry is the time after which what is not acknowledged is sent again; it doubles
	// with each sending up to 16 times as much. Default: 500 ms.
	Retry time.Duration
	// Compare is the time without a message over a link after which its ends compare
	// what they know of each other. Default: 30 s.
	Compare time.Duration
	// Bar is the time for which a node that refused a long-distance link is not drawn
	// again. Default: 30 s.
	Bar time.Duration
	// Segments is the number of segments of the ring, half of them on either side, from
	// which the number of nodes is estimated: up to Segments other nodes it is exact,
	// beyond, its standard error is 1/√Segments. At least 2. Default: 16.
	Segments int
}

func (c Config) withDefaults() Config {
	if c.Topology == nil {
		c.Topology = Symphony{}
	}
	if c.Retry <= 0 {
		c.Retry = 500 * time.Millisecond
	}
	if c.Compare <= 0 {
		c.Compare = 30 * time.Second
	}
	if c.Bar <= 0 {
		c.Bar = 30 * time.Second
	}
	if c.Segments < 2 {
		c.Segments = 16
	}
	return c
}

// maxBackoff is how often the time between two sendings doubles.
const maxBackoff = 4

// Ring is one node's part in the ring. Its memory is bounded by the nodes that are
// up: one ID each, and one small record for each that a link was asked of.
type Ring struct {
	self nodeid.ID
	cfg  Config
	rnd  *rand.Rand

	members  []nodeid.ID // nodes that are up, without self, ascending
	next     int         // index in members of the first node clockwise of self
	pairs    []*pair     // by ID ascending; of members only
	view     uint64      // stands for the set of members and self
	estimate float64     // nodes on the ring, self included
	drawnFor float64     // the estimate that the long-distance links were drawn for

	neighbours []nodeid.ID // what Neighbours returns; nil: not known since the last event
	ignored    uint64
}

// New returns the Ring of node self without any other node. rnd belongs to it.
func New(self nodeid.ID, c Config, rnd *rand.Rand) *Ring {
	return &Ring{self: self, cfg: c.withDefaults(), rnd: rnd, view: mark(self), estimate: 1}
}

// NodeUp says that there is a session with the node now. For a node that is up it
// changes nothing; a session that takes the place of another is NodeDown, NodeUp.
func (r *Ring) NodeUp(id nodeid.ID, now time.Time) []Effect {
	i, up := r.find(id)
	if up || id == r.self {
		return nil
	}
	r.members = slices.Insert(r.members, i, id)
	r.view ^= mark(id)
	r.membersChanged()
	return r.work(now)
}

// NodeDown says that there is no session with the node any more.
func (r *Ring) NodeDown(id nodeid.ID, now time.Time) []Effect {
	i, up := r.find(id)
	if !up {
		return nil
	}
	r.members = slices.Delete(r.members, i, i+1)
	r.view ^= mark(id)
	r.membersChanged()
	r.tellView()
	var down []Effect
	if i, known := r.findPair(id); known {
		if r.pairs[i].current != None {
			down = append(down, LinkDown{ID: id})
		}
		r.pairs = slices.Delete(r.pairs, i, i+1)
	}
	return append(down, r.work(now)...)
}

// Message takes a message that the node has sent over its session. One that is
// malformed, obsolete, illegal or of a node that is not up changes nothing and is
// counted.
func (r *Ring) Message(from nodeid.ID, b []byte, now time.Time) []Effect {
	m, err := ParseMessage(b)
	_, up := r.find(from)
	if err != nil || !up {
		r.ignored++
		return nil
	}
	p := r.pair(from)
	if p.obsolete(m) {
		r.ignored++
		return nil
	}
	p.receive(m, now, now.Add(r.cfg.Bar), r.judge)
	return r.work(now)
}

// Tick sends again what is due. It wants to be called a few times in Config.Retry
// and may be called at any time.
func (r *Ring) Tick(now time.Time) []Effect {
	r.tellView()
	retries := backoff.Exponential{First: r.cfg.Retry, Last: r.cfg.Retry << maxBackoff}
	for _, p := range r.pairs {
		switch since := now.Sub(p.sent); {
		case p.unacknowledged():
			p.due = p.due || since >= retries.Pause(max(p.tries-1, 0))
		case p.current != None && now.Sub(p.heard) >= r.cfg.Compare && since >= retries.Last:
			p.due, p.comparing = true, true
		}
	}
	return r.work(now)
}

// Successors returns the next nodes clockwise that are links, of whatever type: as
// many as the topology wants, or fewer where there are not so many.
func (r *Ring) Successors() []nodeid.ID {
	var ids []nodeid.ID
	for p := range r.clockwise() {
		if p.current != None && len(ids) < r.cfg.Topology.Successors() {
			ids = append(ids, p.id)
		}
	}
	return ids
}

// Link is a ring link and what it is to this node.
type Link struct {
	ID   nodeid.ID
	Type EdgeType
}

// Links returns the ring links, clockwise from this node.
func (r *Ring) Links() []Link {
	var links []Link
	for p := range r.clockwise() {
		if p.current != None {
			links = append(links, Link{p.id, p.current})
		}
	}
	return links
}

// Estimate returns the number of nodes on the ring, this one included, as taken from
// the lengths of the segments around it.
func (r *Ring) Estimate() float64 { return r.estimate }

// Ignored returns the number of messages that changed nothing.
func (r *Ring) Ignored() uint64 { return r.ignored }

// work draws the consequences of an event and collects the effects.
func (r *Ring) work(now time.Time) []Effect {
	r.plan(now)
	r.neighbours = nil
	var effects []Effect
	for _, p := range r.pairs {
		if e := p.edge(r.self); e != p.current {
			p.current = e
			if e == None {
				effects = append(effects, LinkDown{ID: p.id})
			} else {
				effects = append(effects, LinkUp{ID: p.id, Type: e})
			}
		}
		if p.due {
			effects = append(effects, Send{To: p.id, Message: AppendMessage(nil, p.message(r.view, now))})
		}
	}
	return effects
}

func (r *Ring) membersChanged() {
	i, _ := r.find(r.self)
	r.next = i
	r.reestimate()
}

// find returns where id is, or would be, in members.
func (r *Ring) find(id nodeid.ID) (int, bool) {
	return slices.BinarySearchFunc(r.members, id, nodeid.Compare)
}

// member returns the node that is i places clockwise of self, 0 the next one.
func (r *Ring) member(i int) nodeid.ID { return r.members[(r.next+i)%len(r.members)] }

// successors is the number of nodes clockwise that this node wants to link to.
func (r *Ring) successors() int { return min(r.cfg.Topology.Successors(), len(r.members)) }

func (r *Ring) findPair(id nodeid.ID) (int, bool) {
	return slices.BinarySearchFunc(r.pairs, id, func(p *pair, id nodeid.ID) int { return nodeid.Compare(p.id, id) })
}

// pair returns the memory of the pair with a node that is up.
func (r *Ring) pair(id nodeid.ID) *pair {
	i, known := r.findPair(id)
	if !known {
		r.pairs = slices.Insert(r.pairs, i, &pair{id: id, start: 1 + r.rnd.Uint32N(1<<32-1)})
	}
	return r.pairs[i]
}

// clockwise goes through the pairs clockwise from self.
func (r *Ring) clockwise() iter.Seq[*pair] {
	return func(yield func(*pair) bool) {
		first, _ := r.findPair(r.self)
		for i := range r.pairs {
			if !yield(r.pairs[(first+i)%len(r.pairs)]) {
				return
			}
		}
	}
}
