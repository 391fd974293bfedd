package overlay

import (
	"errors"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"evio/overlay/flood"
	"evio/overlay/member"
	"evio/overlay/nodeid"
	"evio/wall"
)

// floods is a node's part in flooding. Signatures are made and checked by workers, so that
// nothing else of the node waits for them.
type floods struct {
	queues *floodQueues
	view   atomic.Pointer[floodView]

	mu   sync.Mutex
	core *flood.Flood
	late map[nodeid.ID]int // frames of an origin that wait for the node's goroutine
}

// floodView is what the workers know of the overlay. It is immutable.
type floodView struct {
	neighbours []nodeid.ID
	members    map[nodeid.ID]member.Member
	sessions   map[nodeid.ID]Session
}

func newFloods(id nodeid.ID, start uint64, clock wall.Clock) *floods {
	f := &floods{
		queues: newFloodQueues(), late: map[nodeid.ID]int{},
		core: flood.New(id, start, flood.Config{Wall: clock}),
	}
	f.view.Store(&floodView{})
	return f
}

// maxFloodWorkers bounds the processors that an overlay's floods use.
const maxFloodWorkers = 4

// floodWorkers returns how many goroutines check floods. One processor is left for all
// else, if there are two.
func floodWorkers() int { return max(1, min(runtime.GOMAXPROCS(0)-1, maxFloodWorkers)) }

// workFloods deals with floods until their queues are closed.
func (n *Node) workFloods() {
	for {
		q, one := n.floods.queues.take()
		if q == nil {
			return
		}
		if q.from == n.id {
			n.originate(one.frame, one.at)
		} else {
			n.receiveFlood(q.from, one.frame, one.at)
		}
		n.floods.queues.done(q)
		runtime.Gosched() // a signature takes long: on one processor all else goes first
	}
}

// showFloods shows the workers the members and links as they are now. It is called by the
// node's goroutine.
func (n *Node) showFloods() {
	neighbours := n.ring.Neighbours()
	if !n.rewired && slices.Equal(neighbours, n.floods.view.Load().neighbours) {
		return
	}
	n.rewired = false
	v := &floodView{neighbours: neighbours, members: n.members, sessions: make(map[nodeid.ID]Session, len(n.peers))}
	for id, p := range n.peers {
		if p.serving != nil {
			v.sessions[id] = p.serving.session
		}
	}
	n.floods.view.Store(v)
}

// Flood sends a frame that this node itself says to every other node: an announcement of
// what its containers have. The frame is copied; one beyond what a node may flood, or while
// too much waits, is dropped and counted. What containers send never keeps it from that.
func (n *Node) Flood(frame []byte) {
	n.flood(frame, func(f *flood.Flood, now time.Time) flood.Cause {
		if !f.AdmitNotice(len(frame), now) {
			return flood.OwnLimit
		}
		return flood.NoDrop
	})
}

// FloodFrom sends a frame of the local container whose MAC address is from to every other
// node, as Flood does. It reports false if the container floods more than its share.
func (n *Node) FloodFrom(from MAC, frame []byte) bool {
	return n.flood(frame, func(f *flood.Flood, now time.Time) flood.Cause {
		return f.AdmitFrom(flood.Sender(from), len(frame), now)
	}) != flood.ContainerLimit
}

func (n *Node) flood(frame []byte, admit func(*flood.Flood, time.Time) flood.Cause) flood.Cause {
	if len(n.floods.view.Load().neighbours) == 0 {
		return flood.NoDrop // there is nobody to miss it
	}
	now := time.Now()
	n.floods.mu.Lock()
	drop := admit(n.floods.core, now)
	n.floods.mu.Unlock()
	if drop == flood.NoDrop && !n.floods.queues.put(n.id, slices.Clone(frame), now) {
		n.drops.floodQueue.Add(1)
	}
	return drop
}

func (n *Node) originate(frame []byte, now time.Time) {
	v := n.floods.view.Load()
	n.floods.mu.Lock()
	copies := n.floods.core.Originate(v.neighbours, now)
	n.floods.mu.Unlock()
	if len(copies) == 0 {
		return
	}
	signature := flood.Sign(n.cfg.Key, n.cfg.Overlay, copies[0].Header, frame)
	for i := range copies {
		copies[i].Header.Signature = signature
	}
	n.sendFlood(v, copies, frame)
}

// Reasons to complain about a flood.
var (
	errForged   = errors.New("a flood that the node it names did not sign: no node that keeps to the protocol hands one on")
	errUntimely = errors.New("a flood outside its time: compare the clocks of the two engines")
)

// floodsCame queues flooded frames that a neighbour handed on.
func (n *Node) floodsCame(from nodeid.ID, frames [][]byte) {
	now := time.Now()
	for _, f := range frames {
		if !n.floods.queues.put(from, slices.Clone(f), now) {
			n.drops.floodQueue.Add(1)
		}
	}
}

// receiveFlood takes a flooded frame that a neighbour handed on, which came at a time.
func (n *Node) receiveFlood(from nodeid.ID, b []byte, now time.Time) {
	v := n.floods.view.Load()
	h, frame, err := flood.ParseHeader(b)
	if err != nil || len(frame) < ethernetHeader {
		n.drops.flood.Add(1)
		return
	}
	neighbour, known := v.members[from]
	origin, member := v.members[h.Origin]
	if !known || !member && h.Origin != n.id {
		n.drops.flood.Add(1) // a node that is not a member is refused, even when a member hands on its flood
		return
	}
	deliver, forward, drop := n.acceptFlood(v, from, h, frame, now)
	switch {
	case drop == flood.Forged:
		n.complain(neighbour, errForged, "forged flood refused", now)
	case drop == flood.Untimely && from == h.Origin: // who handed it on is not to blame
		n.complain(origin, errUntimely, "late flood refused", now)
	}
	n.sendFlood(v, forward, frame)
	if deliver {
		n.deliver(h.Origin, frame)
	}
}

func (n *Node) acceptFlood(v *floodView, from nodeid.ID, h flood.Header, frame []byte, now time.Time) (deliver bool, forward []flood.Send, drop flood.Cause) {
	f := n.floods
	f.mu.Lock()
	drop = f.core.Examine(from, h, len(frame), now)
	f.mu.Unlock()
	if drop != flood.NoDrop {
		return false, nil, drop
	}
	genuine := flood.Verify(v.members[h.Origin].Key, n.cfg.Overlay, h, frame)
	f.mu.Lock()
	defer f.mu.Unlock()
	if !genuine {
		return false, nil, f.core.Refuse(from, now)
	}
	return f.core.Accept(from, h, len(frame), v.neighbours, now)
}

// maxLate bounds the floods of an origin that wait for the node's goroutine.
const maxLate = maxFramesWaiting

// deliver hands a frame, which is not used again, to the local ports. What is not right by
// the directory as it is waits behind the announcements that came before it, and so does
// what the origin sent after that.
func (n *Node) deliver(origin nodeid.ID, frame []byte) {
	n.floods.mu.Lock()
	late := n.floods.late[origin]
	n.floods.mu.Unlock()
	switch {
	case late == 0 && !n.ownedByAnother(origin, frame) && n.cfg.Fabric.Deliver(origin, frame):
		return
	case late >= maxLate:
		n.drops.floodQueue.Add(1)
		return
	}
	n.floods.addLate(origin, 1)
	if !n.AfterPeer(origin, func() {
		defer n.floods.addLate(origin, -1)
		if n.ownedByAnother(origin, frame) {
			n.drops.notOrigin.Add(1)
			return
		}
		n.cfg.Fabric.DeliverOrHold(origin, frame)
	}) {
		n.floods.addLate(origin, -1)
		n.drops.queue.Add(1)
	}
}

func (f *floods) addLate(origin nodeid.ID, frames int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.late[origin] += frames; f.late[origin] == 0 {
		delete(f.late, origin)
	}
}

// ownedByAnother reports whether another node than the origin has a frame's source MAC.
func (n *Node) ownedByAnother(origin nodeid.ID, frame []byte) bool {
	e, known := n.Table().LookupMAC(MAC(frame[6:12]))
	return known && e.Node != origin
}

// ethernetHeader is the length of destination, source and type.
const ethernetHeader = 14

func (n *Node) sendFlood(v *floodView, copies []flood.Send, frame []byte) {
	for _, c := range copies {
		s := v.sessions[c.To]
		if s == nil {
			n.drops.floodSend.Add(1)
			continue
		}
		b := append(flood.AppendHeader(make([]byte, 0, flood.HeaderLen+len(frame)), c.Header), frame...)
		if err := s.SendFlood([][]byte{b}); err != nil {
			n.drops.floodSend.Add(1)
		}
	}
}

func (f *floods) stats() flood.Stats {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.core.Stats()
}
