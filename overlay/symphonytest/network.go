// Package symphonytest is an overlay in memory: many symphony.Rings, joined by
// sessions of all to all, in one goroutine and without a clock of its own. Whatever
// travels between two nodes waits until Step lets one of it, drawn at random, arrive
// or get lost; what is true of a ring under every such order is true of it on a
// network. With the same source of randomness the same happens again.
//
// It is for tests only. A Network belongs to one goroutine.
package symphonytest

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"time"

	"evio/overlay/nodeid"
	"evio/overlay/symphony"
)

// Network is the overlay.
type Network struct {
	// Loss is the share of the rings' messages that get lost, 0 to 1.
	Loss float64
	// Apart, if set, reports that two nodes never get a session with each other. It is
	// asked when one of them learns of the other.
	Apart func(a, b nodeid.ID) bool

	Now   time.Time
	Nodes map[nodeid.ID]*Node // those that are there
	order []nodeid.ID         // of Nodes, ascending; never changed in place
	cfg   symphony.Config
	rnd   *rand.Rand
	lives uint64
	queue []event
}

// Node is one node of the overlay.
type Node struct {
	ID    nodeid.ID
	Ring  *symphony.Ring
	Links map[nodeid.ID]symphony.EdgeType // as the effects have told them

	life  uint64
	peers map[nodeid.ID]uint64 // the life of each node that has a session with this one
}

// event is something on its way to a node.
type event struct {
	to, about nodeid.ID
	life      uint64 // of the sender; 0: a change of about's presence
	session   uint64 // the life of the receiver that the sender has a session with
	lossy     bool
	arrive    func(to *Node)
}

// New returns an empty overlay whose rings have these settings. The ends of a link
// compare their views after an hour by default, so that an overlay at rest is silent.
func New(cfg symphony.Config, rnd *rand.Rand) *Network {
	if cfg.Compare == 0 {
		cfg.Compare = time.Hour
	}
	return &Network{
		Now: time.Unix(0, 0), Nodes: map[nodeid.ID]*Node{}, cfg: cfg, rnd: rnd,
	}
}

// IDs returns the nodes that are there, ascending.
func (n *Network) IDs() []nodeid.ID { return slices.Clone(n.order) }

// RandomID returns an ID that is evenly distributed over the ring.
func RandomID(rnd *rand.Rand) nodeid.ID {
	var id nodeid.ID
	binary.BigEndian.PutUint64(id[:8], rnd.Uint64())
	binary.BigEndian.PutUint64(id[8:], rnd.Uint64())
	return id
}

// Join lets a node come; the others and it learn of each other one by one.
func (n *Network) Join(id nodeid.ID) {
	others := n.order
	if n.add(id) {
		for _, other := range others {
			n.presence(id, other)
			n.presence(other, id)
		}
	}
}

// JoinAtOnce lets so many nodes come that learn of each other at once.
func (n *Network) JoinAtOnce(nodes int) {
	for range nodes {
		n.add(RandomID(n.rnd))
	}
	for _, id := range n.order {
		for _, other := range n.order {
			if other != id {
				n.See(n.Nodes[id], other)
			}
		}
	}
}

func (n *Network) add(id nodeid.ID) bool {
	i, there := slices.BinarySearchFunc(n.order, id, nodeid.Compare)
	if there {
		return false
	}
	n.lives++
	n.Nodes[id] = &Node{
		ID: id, life: n.lives, Ring: symphony.New(id, n.cfg, rand.New(rand.NewPCG(n.rnd.Uint64(), 0))), //nolint:gosec // a simulation repeats by its seed
		Links: map[nodeid.ID]symphony.EdgeType{}, peers: map[nodeid.ID]uint64{},
	}
	n.order = slices.Insert(slices.Clone(n.order), i, id)
	return true
}

// Leave lets a node vanish; the others notice one by one.
func (n *Network) Leave(id nodeid.ID) {
	if n.Nodes[id] == nil {
		return
	}
	delete(n.Nodes, id)
	n.order = slices.DeleteFunc(slices.Clone(n.order), func(o nodeid.ID) bool { return o == id })
	for _, other := range n.order {
		n.presence(other, id)
	}
}

// presence has a node learn later whether another one is there then.
func (n *Network) presence(to, about nodeid.ID) {
	n.queue = append(n.queue, event{to: to, about: about, arrive: func(node *Node) { n.See(node, about) }})
}

// See has a node learn at once whether another one is there.
func (n *Network) See(node *Node, about nodeid.ID) {
	var life uint64
	if other := n.Nodes[about]; other != nil && (n.Apart == nil || !n.Apart(node.ID, about)) {
		life = other.life
	}
	known := node.peers[about]
	if known == life {
		return
	}
	if known != 0 {
		delete(node.peers, about)
		n.Do(node, node.Ring.NodeDown(about, n.Now))
	}
	if life != 0 {
		node.peers[about] = life
		n.Do(node, node.Ring.NodeUp(about, n.Now))
	}
}

// Send puts something on its way between two nodes, over the sender's session. One of
// the two ends has it first; whatever it sends establishes it at the other end before
// it arrives there. It never arrives where the session's nodes have had another life
// since.
func (n *Network) Send(from *Node, to nodeid.ID, arrive func(to *Node)) {
	n.queue = append(n.queue, event{to: to, about: from.ID, life: from.life, session: from.peers[to], arrive: arrive})
}

// HasSession reports whether the node has a session with a node that is there.
func (n *Network) HasSession(node *Node, other nodeid.ID) bool {
	return n.Nodes[other] != nil && node.peers[other] == n.Nodes[other].life
}

// Do carries out the effects of a node's ring.
func (n *Network) Do(node *Node, effects []symphony.Effect) {
	for _, e := range effects {
		switch e := e.(type) {
		case symphony.Send:
			n.queue = append(n.queue, event{
				to: e.To, about: node.ID, life: node.life, session: node.peers[e.To], lossy: true,
				arrive: func(to *Node) { n.Do(to, to.Ring.Message(node.ID, e.Message, n.Now)) },
			})
		case symphony.LinkUp:
			node.Links[e.ID] = e.Type
		case symphony.LinkDown:
			delete(node.Links, e.ID)
		}
	}
}

// Step lets one thing arrive, or get lost. It reports false when nothing is on its
// way.
func (n *Network) Step() bool {
	if len(n.queue) == 0 {
		return false
	}
	i, last := n.rnd.IntN(len(n.queue)), len(n.queue)-1
	e := n.queue[i]
	n.queue[i] = n.queue[last]
	n.queue = n.queue[:last]
	to := n.Nodes[e.to]
	switch {
	case to == nil:
	case e.life == 0:
		e.arrive(to)
	case to.life != e.session:
	case e.lossy && n.rnd.Float64() < n.Loss:
	case !n.establish(to, e.about, e.life):
	default:
		e.arrive(to)
	}
	return true
}

// establish has a node to which something has come over a session in that life of
// another one see it, if it is there in that life. It reports whether the receiver has
// the session.
func (n *Network) establish(to *Node, from nodeid.ID, life uint64) bool {
	if sender := n.Nodes[from]; sender != nil && sender.life == life {
		n.See(to, from)
	}
	return to.peers[from] == life
}

// Run steps until nothing is on its way.
func (n *Network) Run() {
	for n.Step() {
	}
}

// Tick lets time pass and every node notice.
func (n *Network) Tick(d time.Duration) {
	n.Now = n.Now.Add(d)
	for _, id := range n.order {
		n.Do(n.Nodes[id], n.Nodes[id].Ring.Tick(n.Now))
	}
}

// rest is how long nobody has to say anything for an overlay to be at rest: longer
// than the longest time between two sendings by default.
const rest = 10

// Settle lets everything arrive, and time pass until the overlay is at rest.
func (n *Network) Settle() {
	n.Loss = 0
	n.Run()
	quiet := 0
	for range 100 {
		n.Tick(time.Second)
		quiet++
		if len(n.queue) > 0 {
			quiet = 0
		}
		if quiet == rest {
			return
		}
		n.Run()
	}
	panic("symphonytest: the overlay does not come to rest")
}
