package flood

import (
	"math"
	"slices"
	"time"

	"evio/overlay/nodeid"
	"evio/wall"
)

// Config are the settings of a Flood. The zero value of each field stands for its
// default.
type Config struct {
	// Own limits what this node floods. Default: 2,500 frames and 2.5 MiB a second, which
	// is 20 Mb/s of full frames, and half of that at once, which the queues hold.
	Own Budget
	// Share limits what of that one container may use while others of this node use the
	// rest. What nobody else uses it may have as well, except for a quarter of what Own allows at
	// once: that much is always left for containers within their share. Default: a tenth.
	Share Budget
	// Notices limits what this node itself says to all when its containers have used up
	// Own. Default: 100 frames a second, and as much at once.
	Notices Budget
	// Origin limits what is taken of another node. It is more than that may flood: on the
	// way frames come closer together, and clocks differ. Default: a quarter more, and a
	// second's worth of that at once.
	Origin Budget
	// Ingress limits what one neighbour brings, of whatever origin. Default: what 16
	// origins may, since it may be the only way to all others.
	Ingress Budget
	// Repeats limits what one neighbour brings for the second time, with a longer arc.
	// Default: a quarter of what an origin may.
	Repeats Budget
	// Wall is the clock that frames go by. Default: this machine's.
	Wall wall.Clock
}

const (
	originFrames  = 2500
	originBytes   = 5 << 19
	originSeconds = 0.5 // of a rate, at once

	containerShare = 0.1  // of what an origin may, that each of its containers may in any case
	sharedAtOnce   = 0.25 // of what an origin may at once, that is kept for those within their share

	noticeFrames = 100
	noticeBytes  = 32 << 10

	takenShare   = 1.25 // of what an origin may, is taken of it
	takenSeconds = 1    // of that, at once
	ingressShare = 16   // origins that may use all of theirs over one neighbour
	repeatShare  = 0.25 // of what is taken of an origin
)

func (c Config) withDefaults() Config {
	frames, bytes := float64(originFrames), float64(originBytes)
	c.Own = c.Own.or(Budget{frames, originSeconds * frames, bytes, originSeconds * bytes})
	c.Share = c.Share.or(c.Own.times(containerShare))
	c.Notices = c.Notices.or(Budget{noticeFrames, noticeFrames, noticeBytes, noticeBytes})
	frames, bytes = takenShare*frames, takenShare*bytes
	c.Origin = c.Origin.or(Budget{frames, takenSeconds * frames, bytes, takenSeconds * bytes})
	c.Ingress = c.Ingress.or(c.Origin.times(ingressShare))
	c.Repeats = c.Repeats.or(c.Origin.times(repeatShare))
	c.Wall = c.Wall.Or()
	return c
}

const (
	// Skew is by how much the clocks of two engines may differ, and so for how long a
	// frame can be kept before it is handed on.
	Skew = 5 * time.Minute

	// forgedRate is how many forged frames of a neighbour are looked at in a second, and
	// forgedBurst at once: one costs far more to check than to make, and no relay hands
	// one on. Beyond that nothing is taken that would have to be looked at.
	forgedRate  = 250
	forgedBurst = 125

	maxNeighbours = 1024      // ingress limits; about 500 B each
	maxOrigins    = 1024      // origins remembered; about 1.5 KiB each
	maxSenders    = 1024      // containers whose share is remembered; about 500 B each
	maxForwarded  = 16 * 1024 // frames whose arcs are remembered; about 150 B each
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
	notices   account
	senders   lru[Sender, account]
	ingress   lru[nodeid.ID, neighbour]
	origins   lru[nodeid.ID, source]
	forwarded lru[name, nodeid.ID] // the end of the longest arc that was handed on

	stats Stats
}

// neighbour is what one that brings frames has left of its budgets.
type neighbour struct{ all, repeats, forged account }

var forged = Budget{forgedRate, forgedBurst, math.MaxInt32, math.MaxInt32}

// name is what a frame is called.
type name struct {
	origin     nodeid.ID
	start, seq uint64
}

func (h Header) name() name { return name{h.Origin, h.Start, h.Seq} }

// New returns the Flood of node self. start is another value than in the engine's earlier
// lives: drawn at random.
func New(self nodeid.ID, start uint64, c Config) *Flood {
	return &Flood{
		self: self, start: start, cfg: c.withDefaults(),
		senders:   newLRU[Sender, account](maxSenders),
		ingress:   newLRU[nodeid.ID, neighbour](maxNeighbours),
		origins:   newLRU[nodeid.ID, source](maxOrigins),
		forwarded: newLRU[name, nodeid.ID](maxForwarded),
	}
}

// Sender names a container of this node, by the MAC address that it was given.
type Sender [6]byte

// Admit takes a frame of size bytes from this node's own budget, and reports whether it
// had that much. A frame that is not admitted is better not flooded: the others take
// little more, and each would drop a different one.
func (f *Flood) Admit(size int, now time.Time) bool { return f.admit(f.own.take(now, size, f.cfg.Own)) }

// AdmitNotice is Admit for what this node itself says: that has some more, when containers
// have used up the budget.
func (f *Flood) AdmitNotice(size int, now time.Time) bool {
	return f.admit(f.own.take(now, size, f.cfg.Own) || f.notices.take(now, size, f.cfg.Notices))
}

func (f *Flood) admit(ok bool) bool {
	if !ok {
		f.dropped(OwnLimit)
	}
	return ok
}

// AdmitFrom takes a frame of size bytes of a container from this node's own budget, and
// returns why it is dropped: the container has used its share and the others need the rest,
// or all of them have used up the budget.
func (f *Flood) AdmitFrom(from Sender, size int, now time.Time) Cause {
	share := f.senders.entry(from)
	within := share.left(now, size, f.cfg.Share)
	switch {
	case !within && !f.own.leaves(now, size, f.cfg.Own, sharedAtOnce):
		return f.dropped(ContainerLimit)
	case !f.own.take(now, size, f.cfg.Own):
		return f.dropped(OwnLimit)
	case within:
		share.take(now, size, f.cfg.Share)
	}
	return NoDrop
}

// Originate returns the copies of a new frame of this node, to be signed. neighbours
// are those of the ring, clockwise from this node.
func (f *Flood) Originate(neighbours []nodeid.ID, now time.Time) []Send {
	f.seq++
	f.stats.Originated++
	copies := split(f.self, f.self, neighbours, Header{
		Origin: f.self, Start: f.start, Seq: f.seq, Time: wall.Milliseconds(f.cfg.Wall(now)),
	})
	f.stats.Copies += uint64(len(copies))
	return copies
}

// Examine takes the header of a frame of size bytes that a node has brought over its
// session, and returns why the frame is dropped. With NoDrop the origin's signature is to
// be checked next: Accept is for a frame that has it, Refuse for one that has not.
// Frames of one neighbour are taken one after another.
func (f *Flood) Examine(from nodeid.ID, h Header, size int, now time.Time) Cause {
	f.stats.Received++
	by := f.ingress.entry(from)
	var drop Cause
	switch {
	case !by.all.take(now, size, f.cfg.Ingress):
		drop = IngressLimit
	case h.Origin == f.self:
		drop = OwnFrame
	// An arc is cut from one that began at the node before, and at first at the origin.
	case inside(h.Origin, f.self, h.ArcEnd) || inside(from, f.self, h.ArcEnd):
		drop = BadArc
	case !timely(h.Time, f.cfg.Wall(now)):
		drop = Untimely
	default:
		_, drop = f.news(by, h, size, now)
	}
	return f.dropped(drop)
}

// news reports whether a frame came before, and why it is dropped: there is nothing new
// about it, or it is too much.
func (f *Flood) news(by *neighbour, h Header, size int, now time.Time) (seen bool, drop Cause) {
	origin, _ := f.origins.peek(h.Origin)
	seen = origin.seen(h)
	before, repeated := f.forwarded.peek(h.name())
	switch {
	case seen && (!repeated || within(h.ArcEnd, f.self, before)):
		return seen, Duplicate
	case seen && !by.repeats.left(now, size, f.cfg.Repeats), !by.forged.left(now, size, forged):
		return seen, IngressLimit
	case !seen && !origin.budget.left(now, size, f.cfg.Origin):
		return seen, OriginLimit
	}
	return seen, NoDrop
}

// Accept takes a frame that was examined, and that its origin signed.
// deliver says that the frame is for the local ports, which happens once; forward are
// the copies to be sent on to neighbours, which are those of the ring, clockwise from
// this node. drop says why there is neither: another neighbour has brought the frame, or
// the origin others, since it was examined. It is NoDrop for a frame that is taken.
func (f *Flood) Accept(from nodeid.ID, h Header, size int, neighbours []nodeid.ID, now time.Time) (deliver bool, forward []Send, drop Cause) {
	by := f.ingress.entry(from)
	seen, drop := f.news(by, h, size, now)
	if drop != NoDrop {
		return false, nil, f.dropped(drop)
	}
	before, _ := f.forwarded.peek(h.name())
	*f.forwarded.entry(h.name()) = h.ArcEnd
	forward = split(f.self, h.ArcEnd, neighbours, h)
	if seen {
		by.repeats.take(now, size, f.cfg.Repeats)
		// Who was given the same part the first time has it.
		sent := split(f.self, before, neighbours, h)
		forward = slices.DeleteFunc(forward, func(c Send) bool { return slices.Contains(sent, c) })
	} else {
		origin := f.origins.entry(h.Origin)
		origin.budget.take(now, size, f.cfg.Origin)
		origin.mark(h)
		f.stats.Delivered++
	}
	f.stats.Copies += uint64(len(forward))
	return !seen, forward, NoDrop
}

// Refuse charges a neighbour for a frame that was examined, and that its origin did not
// sign.
func (f *Flood) Refuse(from nodeid.ID, now time.Time) Cause {
	f.ingress.entry(from).forged.take(now, 0, forged)
	return f.dropped(Forged)
}

// dropped counts a frame that is dropped.
func (f *Flood) dropped(c Cause) Cause {
	if c != NoDrop {
		f.stats.Drops[c]++
	}
	return c
}

// timely reports whether what was sent then, in Unix milliseconds, may arrive at wall time
// now.
func timely(sent uint64, now time.Time) bool {
	at, skew := wall.Milliseconds(now), uint64(Skew.Milliseconds())
	return sent+skew >= at && sent <= at+skew
}

// Stats returns the counters as they are now.
func (f *Flood) Stats() Stats { return f.stats }
