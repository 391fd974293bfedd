package network

import (
	"slices"
	"sync/atomic"
	"time"

	"evio/overlay"
	"evio/overlay/nodeid"
)

const (
	// pendingFor is how long a flooded frame waits for the record that makes it right. The
	// record comes by the origin's own session, the frame by the ring, maybe sooner: a
	// lost control message is repeated within a little more than a second.
	pendingFor = 2 * time.Second
	// maxPending is how many frames of one origin wait.
	maxPending = 32
)

// pendingFloods has the flooded frames that claim what nobody holds, by origin. They are
// delivered when the directory gives it to their origin, never otherwise. It belongs to
// the node's goroutine, except for deliver.
type pendingFloods struct {
	n  *network
	by map[nodeid.ID][]pendingFlood
}

type pendingFlood struct {
	frame []byte
	cause *atomic.Uint64 // counted when it is given up
	until time.Time
}

// deliver takes a flooded frame of a node if it is right by the directory as it is.
func (p *pendingFloods) deliver(origin nodeid.ID, frame []byte) bool {
	right := p.n.frameFault(p.n.currentNode().Table(), origin, frame).cause == nil
	if right {
		p.n.inject(frame)
	}
	return right
}

// deliverOrHold takes a flooded frame of a node, now or when the directory has changed.
func (p *pendingFloods) deliverOrHold(t *overlay.Table, origin nodeid.ID, frame []byte, now time.Time) {
	p.expire(now)
	f := p.n.frameFault(t, origin, frame)
	switch {
	case f.cause == nil:
		p.n.inject(frame)
	case f.Final || f.Taken || len(p.by[origin]) >= maxPending:
		p.n.count(f.cause)
	default:
		if p.by == nil {
			p.by = map[nodeid.ID][]pendingFlood{}
		}
		if len(p.by) == 0 {
			p.expireAfter(pendingFor)
		}
		p.by[origin] = append(p.by[origin], pendingFlood{slices.Clone(frame), f.cause, now.Add(pendingFor)})
	}
}

// release looks at the frames that wait, after the directory has changed.
func (p *pendingFloods) release(t *overlay.Table, now time.Time) {
	p.expire(now)
	for origin := range p.by {
		p.removeIf(origin, func(h pendingFlood) bool {
			f := p.n.frameFault(t, origin, h.frame)
			switch {
			case f.cause == nil:
				p.n.inject(h.frame)
			case f.Final || f.Taken:
				p.n.count(f.cause)
			default:
				return false
			}
			return true
		})
	}
}

// expireAfter has expire called also when nothing else happens. A node that is too busy
// for that has floods, which do the same.
func (p *pendingFloods) expireAfter(d time.Duration) {
	node := p.n.currentNode()
	if node == nil {
		return
	}
	time.AfterFunc(d, func() {
		node.After(func() {
			p.expire(time.Now())
			if next := p.firstExpiry(); !next.IsZero() {
				p.expireAfter(time.Until(next))
			}
		})
	})
}

// firstExpiry returns when the next frame that waits is given up, zero for none.
func (p *pendingFloods) firstExpiry() time.Time {
	var first time.Time
	for _, waiting := range p.by {
		if first.IsZero() || waiting[0].until.Before(first) {
			first = waiting[0].until
		}
	}
	return first
}

// expire gives up the frames that have waited for too long.
func (p *pendingFloods) expire(now time.Time) {
	for origin, waiting := range p.by {
		if now.Before(waiting[0].until) {
			continue // and so are those behind it
		}
		p.removeIf(origin, func(h pendingFlood) bool {
			old := !now.Before(h.until)
			if old {
				p.n.count(h.cause)
			}
			return old
		})
	}
}

// removeIf removes the frames of an origin for which done returns true.
func (p *pendingFloods) removeIf(origin nodeid.ID, done func(pendingFlood) bool) {
	p.by[origin] = slices.DeleteFunc(p.by[origin], done)
	if len(p.by[origin]) == 0 {
		delete(p.by, origin)
	}
}
