package network

import (
	"errors"
	"os"
	"sync/atomic"

	"evio/datapath/frame"
	"evio/driver/network/claims"
)

// drops counts frames that a network did not carry, by cause; a super-frame as its segments.
type drops struct {
	malformed   atomic.Uint64 // from a peer: too short, or nothing that a container may send; from a container: sent to the asker and no answer
	notOwner    atomic.Uint64 // from a peer: the source MAC is not that node's
	notHolder   atomic.Uint64 // from a peer: ARP or neighbour discovery for an address or MAC that is not that node's
	role        atomic.Uint64 // from a peer: of a router or a DHCP server
	queueFull   atomic.Uint64 // from a peer: a first frame while the node's queue was full
	noSession   atomic.Uint64 // to or from a peer without an established session
	send        atomic.Uint64 // not frames, but how often a session refused some of those that it was given, which it counts itself
	loopProbe   atomic.Uint64 // from a container: a probe for loops that is not this engine's
	linkWrite   atomic.Uint64 // the link port refused it
	fabricWrite atomic.Uint64 // the fabric port refused it

	// From a container here, which may send it only with a claim of its own:
	claimOutside atomic.Uint64 // no container may claim that
	claimHeld    atomic.Uint64 // another one has it
	claimLimit   atomic.Uint64 // it is more than a container or this engine may claim
	claimDelayed atomic.Uint64 // the claim was not made in time
}

// unclaimed returns the counter of frames without the claim that they need.
func (d *drops) unclaimed(c claims.Cause) *atomic.Uint64 {
	switch c {
	case claims.Held:
		return &d.claimHeld
	case claims.Limit:
		return &d.claimLimit
	case claims.Delayed:
		return &d.claimDelayed
	case claims.Outside:
	}
	return &d.claimOutside
}

func (n *network) count(c *atomic.Uint64) { c.Add(1) }

// countFrames counts frames, and a super-frame as its segments.
func (n *network) countFrames(c *atomic.Uint64, frames ...frame.Frame) {
	for i := range frames {
		c.Add(uint64(frames[i].Segments()))
	}
}

// refused counts frames that a port did not take. One that was closed went with its
// session or its network.
func (n *network) refused(err error, c *atomic.Uint64, frames ...frame.Frame) {
	if errors.Is(err, os.ErrClosed) {
		c = &n.drops.noSession
	}
	n.countFrames(c, frames...)
}

// byCause returns the counters that are not zero, by the names that docs use.
func (d *drops) byCause() map[string]uint64 {
	all := map[string]uint64{
		"malformed": d.malformed.Load(), "source-not-owned": d.notOwner.Load(), "address-not-owned": d.notHolder.Load(), "router-or-dhcp": d.role.Load(),
		"queue-full": d.queueFull.Load(),
		"no-session": d.noSession.Load(), "send": d.send.Load(), "loop-probe": d.loopProbe.Load(), "link-write": d.linkWrite.Load(), "fabric-write": d.fabricWrite.Load(),
		"claim-outside": d.claimOutside.Load(), "claim-held": d.claimHeld.Load(), "claim-limit": d.claimLimit.Load(), "claim-delayed": d.claimDelayed.Load(),
	}
	for k, v := range all {
		if v == 0 {
			delete(all, k)
		}
	}
	return all
}
