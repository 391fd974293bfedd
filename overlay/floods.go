package overlay

import (
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
		if n.flood.Admit(len(held), time.Now()) {
			n.sendFlood(n.flood.Originate(n.ring.Neighbours()), held)
		}
	}) {
		n.drops.queue.Add(1)
	}
}

// receiveFlood takes a flooded frame that a neighbour handed on.
func (n *Node) receiveFlood(from nodeid.ID, b []byte, now time.Time) {
	h, frame, err := flood.ParseHeader(b)
	if err != nil || len(frame) < ethernetHeader {
		n.drops.flood.Add(1)
		return
	}
	if _, member := n.members[h.Origin]; !member && h.Origin != n.id {
		n.drops.flood.Add(1) // who is no member is refused also when a member brings it
		return
	}
	deliver, forward, _ := n.flood.Receive(from, h, len(frame), n.ring.Neighbours(), now)
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
