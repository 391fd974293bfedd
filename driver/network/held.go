package network

import (
	"slices"
	"sync/atomic"
	"time"

	"evio/overlay"
	"evio/overlay/nodeid"
)

const (
	// heldFor is how long a flooded frame waits for the record that makes it right. The
	// record comes by the origin's own session, the frame by the ring, maybe sooner: a
	// lost control message is repeated within a little more than a second.
	heldFor = 2 * time.Second
	// heldMost is how many frames of one origin wait.
	heldMost = 32
)

// held has the flooded frames that claim what nobody holds, by origin. They are
// delivered when the directory gives it to their origin, never otherwise.
type held map[nodeid.ID][]heldFrame

type heldFrame struct {
	frame []byte
	cause *atomic.Uint64 // counted when it is given up
	until time.Time
}

// floodedNow takes a flooded frame of a node if it is right by the directory as it is.
func (n *network) floodedNow(origin nodeid.ID, frame []byte) bool {
	right := n.frameFault(n.currentNode().Table(), origin, frame).cause == nil
	if right {
		n.inject(frame)
	}
	return right
}

// flooded takes a flooded frame of a node. It is called by the node's goroutine.
func (n *network) flooded(t *overlay.Table, origin nodeid.ID, frame []byte, now time.Time) {
	n.expire(now)
	f := n.frameFault(t, origin, frame)
	switch {
	case f.cause == nil:
		n.inject(frame)
	case f.Final || f.Taken || len(n.held[origin]) >= heldMost:
		n.count(f.cause)
	default:
		if n.held == nil {
			n.held = held{}
		}
		if len(n.held) == 0 {
			n.expireAfter(heldFor)
		}
		n.held[origin] = append(n.held[origin], heldFrame{slices.Clone(frame), f.cause, now.Add(heldFor)})
	}
}

// settle looks at the frames that wait, after the directory has changed. It is called
// by the node's goroutine.
func (n *network) settle(t *overlay.Table, now time.Time) {
	n.expire(now)
	for origin := range n.held {
		n.sift(origin, func(h heldFrame) bool {
			f := n.frameFault(t, origin, h.frame)
			switch {
			case f.cause == nil:
				n.inject(h.frame)
			case f.Final || f.Taken:
				n.count(f.cause)
			default:
				return false
			}
			return true
		})
	}
}

// expireAfter has expire called also when nothing else happens. A node that is too busy
// for that has floods, which do the same.
func (n *network) expireAfter(d time.Duration) {
	node := n.currentNode()
	if node == nil {
		return
	}
	time.AfterFunc(d, func() {
		node.After(func() {
			n.expire(time.Now())
			if next := n.firstExpiry(); !next.IsZero() {
				n.expireAfter(time.Until(next))
			}
		})
	})
}

// firstExpiry returns when the next frame that waits is given up, zero for none.
func (n *network) firstExpiry() time.Time {
	var first time.Time
	for _, waiting := range n.held {
		if first.IsZero() || waiting[0].until.Before(first) {
			first = waiting[0].until
		}
	}
	return first
}

// expire gives up the frames that have waited for too long.
func (n *network) expire(now time.Time) {
	for origin, waiting := range n.held {
		if now.Before(waiting[0].until) {
			continue // and so are those behind it
		}
		n.sift(origin, func(h heldFrame) bool {
			old := !now.Before(h.until)
			if old {
				n.count(h.cause)
			}
			return old
		})
	}
}

// sift removes the frames of an origin for which done returns true.
func (n *network) sift(origin nodeid.ID, done func(heldFrame) bool) {
	n.held[origin] = slices.DeleteFunc(n.held[origin], done)
	if len(n.held[origin]) == 0 {
		delete(n.held, origin)
	}
}
