package overlay

import (
	"errors"
	"slices"
	"time"

	"evio/overlay/flood"
	"evio/overlay/nodeid"
)

// Flood sends a frame of a local container to every other node. The frame is
// copied; when too much waits it is dropped and counted.
func (n *Node) Flood(frame []byte) {
	held := slices.Clone(frame)
	if !n.After(func() {
		n.originate(held, time.Now())
	}) {
		n.drops.queue.Add(1)
	}
}

func (n *Node) originate(frame []byte, now time.Time) {
	if !n.flood.Admit(len(frame), now) {
		return
	}
	copies := n.flood.Originate(n.ring.Neighbours(), now)
	if len(copies) == 0 {
		return
	}
	signature := flood.Sign(n.cfg.Key, n.cfg.Overlay, copies[0].Header, frame)
	for i := range copies {
		copies[i].Header.Signature = signature
	}
	n.sendFlood(copies, frame)
}

// Reasons to blame a member for a flood.
var (
	errForged   = errors.New("a flood that the node it names did not sign: no node that keeps to the protocol hands one on")
	errUntimely = errors.New("a flood outside its time: compare the clocks of the two engines")
)

// receiveFlood takes a flooded frame that a neighbour handed on.
func (n *Node) receiveFlood(from nodeid.ID, b []byte, now time.Time) {
	h, frame, err := flood.ParseHeader(b)
	if err != nil || len(frame) < ethernetHeader {
		n.drops.flood.Add(1)
		return
	}
	origin, member := n.members[h.Origin]
	if !member && h.Origin != n.id {
		n.drops.flood.Add(1) // who is no member is refused also when a member brings it
		return
	}
	genuine := func() bool { return flood.Verify(origin.Key, n.cfg.Overlay, h, frame) }
	deliver, forward, drop := n.flood.Receive(from, h, len(frame), genuine, n.ring.Neighbours(), now)
	switch {
	case drop == flood.Forged:
		n.blame(n.members[from], errForged, "forged flood refused", now)
	case drop == flood.Untimely && from == h.Origin: // who handed it on is not to blame
		n.blame(origin, errUntimely, "late flood refused", now)
	}
	n.sendFlood(forward, frame)
	if !deliver {
		return
	}
	n.publish()
	source := MAC(frame[6:12])
	if e, known := n.Table().LookupMAC(source); known && e.Node != h.Origin {
		n.drops.notOrigin.Add(1)
		return
	}
	n.cfg.Fabric.Deliver(h.Origin, frame)
}

// ethernetHeader is the length of destination, source and type.
const ethernetHeader = 14

func (n *Node) sendFlood(copies []flood.Send, frame []byte) {
	for _, c := range copies {
		p := n.peers[c.To]
		if p == nil || p.serving == nil {
			n.drops.flood.Add(1)
			continue
		}
		b := append(flood.AppendHeader(make([]byte, 0, flood.HeaderLen+len(frame)), c.Header), frame...)
		if err := p.serving.session.SendFlood([][]byte{b}); err != nil {
			n.drops.flood.Add(1)
		}
	}
}
