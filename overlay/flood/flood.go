package flood

import (
	"slices"
	"time"

	"evio/overlay/nodeid"
)

// Config are the settings of a Flood. The zero value of each field stands for its
// default.
type Config struct {
	// Ingress limits what one neighbour brings, of whatever origin. By default four
	// times what an origin may: one that storms leaves room for the others.
	Ingress Budget
	// Origin limits what one origin floods, this node included. Default: 1,000 frames
	// and 2 MB a second, which is more than 10 Mb/s of full frames, and half of that at
	// once, which the neighbours' queues hold.
	Origin Budget
	// Repeats limits what one neighbour brings for the second time, with a longer arc.
	// Default: a quarter of what an origin may.
	Repeats Budget
}

const (
	originFrames = 1000
	originBytes  = 2 << 20
	burstSeconds = 0.5 // of a rate, at once
	ingressShare = 4   // origins that may use all of theirs over one neighbour
	repeatShare  = 4   // of an origin's budget
)

func (c Config) withDefaults() Config {
	frames, bytes := float64(originFrames), float64(originBytes)
	c.Origin = c.Origin.or(Budget{frames, burstSeconds * frames, bytes, burstSeconds * bytes})
	frames, bytes = ingressShare*frames, ingressShare*bytes
	c.Ingress = c.Ingress.or(Budget{frames, burstSeconds * frames, bytes, burstSeconds * bytes})
	o := c.Origin
	c.Repeats = c.Repeats.or(Budget{o.Frames / repeatShare, o.FrameBurst / repeatShare, o.Bytes / repeatShare, o.ByteBurst / repeatShare})
	return c
}

const (
	// Skew is by how much the clocks of two engines may differ, and so for how long a
	// frame can be kept before it is handed on.
	Skew = 5 * time.Minute

	// forgedCost is how many frames of its budget a neighbour loses by one that is
	// forged, which costs far more to check than to make: it can have 250 of them
	// checked in a second. No relay hands one on.
	forgedCost = 16

	maxNeighbours = 1024 // ingress limits; about 250 B each
	maxOrigins    = 1024 // origins remembered; about 1 KiB each
	maxForwarded  = 4096 // frames whose arcs are remembered; about 150 B each
)

// Send is a copy of the frame to be sent to a neighbour under this header.
type Send struct {
	To     nodeid.ID
	Header Header
}

// Flood is one node's part in the flooding of an overlay.
type Flood struct {
	self  nodeid.ID
	start uint64
	seq   uint64
	cfg   Config

	own       account
	ingress   *lru[nodeid.ID, neighbour]
	origins   *lru[nodeid.ID, source]
	forwarded *lru[name, nodeid.ID] // the end of the longest arc that was handed on

	stats Stats
}

// neighbour is what was taken of the budgets of one that brings frames.
type neighbour struct{ all, repeats account }

// name is what a frame is called.
type name struct {
	origin     nodeid.ID
	start, seq uint64
}

// New returns the Flood of node self with default settings. start is another value
// than in the engine's earlier lives: drawn at random, or the time.
func New(self nodeid.ID, start uint64) *Flood { return NewConfig(self, start, Config{}) }

// NewConfig returns the Flood of node self.
func NewConfig(self nodeid.ID, start uint64, c Config) *Flood {
	return &Flood{
		self: self, start: start, cfg: c.withDefaults(),
		ingress:   newLRU[nodeid.ID, neighbour](maxNeighbours),
		origins:   newLRU[nodeid.ID, source](maxOrigins),
		forwarded: newLRU[name, nodeid.ID](maxForwarded),
	}
}

// Admit takes a frame of size bytes from this node's own budget, which is the same
// that the others give it as an origin, and reports whether it had that much. A frame
// that is not admitted is better not flooded: the others would drop it, each a
// different one.
func (f *Flood) Admit(size int, now time.Time) bool {
	ok := f.own.take(now, size, f.cfg.Origin)
	if !ok {
		f.stats.Drops[OwnLimit]++
	}
	return ok
}

// Originate returns the copies of a new frame of this node, to be signed. neighbours
// are those of the ring, clockwise from this node.
func (f *Flood) Originate(neighbours []nodeid.ID, now time.Time) []Send {
	f.seq++
	f.stats.Originated++
	copies := split(f.self, f.self, neighbours, Header{
		Origin: f.self, Start: f.start, Seq: f.seq, Time: uint64(max(0, now.UnixMilli())),
	})
	f.stats.Copies += uint64(len(copies))
	return copies
}

// Receive takes the header of a frame of size bytes that a node has brought over its
// session. genuine tells whether the origin signed it; it is asked only about frames
// that are not dropped for what is cheaper to see.
// deliver says that the frame is for the local ports, which happens once; forward are
// the copies to be sent on to neighbours, which are those of the ring, clockwise from
// this node. drop says why there is neither; it is NoDrop for a frame that is taken.
func (f *Flood) Receive(from nodeid.ID, h Header, size int, genuine func() bool, neighbours []nodeid.ID, now time.Time) (deliver bool, forward []Send, drop Cause) {
	f.stats.Received++
	deliver, forward, drop = f.receive(from, h, size, genuine, neighbours, now)
	if deliver {
		f.stats.Delivered++
	}
	f.stats.Copies += uint64(len(forward))
	if drop != NoDrop {
		f.stats.Drops[drop]++
	}
	return deliver, forward, drop
}

func (f *Flood) receive(from nodeid.ID, h Header, size int, genuine func() bool, neighbours []nodeid.ID, now time.Time) (bool, []Send, Cause) {
	by := f.ingress.get(from)
	if !by.all.take(now, size, f.cfg.Ingress) {
		return false, nil, IngressLimit
	}
	if h.Origin == f.self {
		return false, nil, OwnFrame
	}
	// An arc is cut from one that began at the node before, and at first at the origin.
	if inside(h.Origin, f.self, h.ArcEnd) || inside(from, f.self, h.ArcEnd) {
		return false, nil, BadArc
	}
	if !timely(h.Time, now) {
		return false, nil, Untimely
	}
	frame := name{h.Origin, h.Start, h.Seq}
	origin, _ := f.origins.find(h.Origin)
	seen := origin.seen(h)
	before, repeated := f.forwarded.find(frame)
	switch {
	case seen && (!repeated || within(h.ArcEnd, f.self, before)):
		return false, nil, Duplicate
	case seen && !by.repeats.take(now, size, f.cfg.Repeats):
		return false, nil, IngressLimit
	case !seen && !origin.budget.left(now, size, f.cfg.Origin):
		return false, nil, OriginLimit
	case !genuine():
		by.all.fine(forgedCost - 1)
		return false, nil, Forged
	}
	if !seen {
		o := f.origins.get(h.Origin)
		o.budget.take(now, size, f.cfg.Origin)
		o.mark(h)
	}
	*f.forwarded.get(frame) = h.ArcEnd
	copies := split(f.self, h.ArcEnd, neighbours, h)
	if seen {
		// Who was given the same part the first time has it.
		sent := split(f.self, before, neighbours, h)
		copies = slices.DeleteFunc(copies, func(c Send) bool { return slices.Contains(sent, c) })
	}
	return !seen, copies, NoDrop
}

// timely reports whether what was sent then, in Unix milliseconds, may arrive now.
func timely(sent uint64, now time.Time) bool {
	at, skew := uint64(max(0, now.UnixMilli())), uint64(Skew.Milliseconds())
	return sent+skew >= at && sent <= at+skew
}

// Stats returns the counters as they are now.
func (f *Flood) Stats() Stats { return f.stats }
