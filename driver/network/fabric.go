package network

import (
	"context"

	"evio/datapath/frame"
	"evio/datapath/packet"
	"evio/overlay"
	"evio/overlay/nodeid"
)

// action is what becomes of a frame that the bridge handed to this process.
type action int

const (
	discard action = iota // nobody needs it
	reply                 // answered from the directory
	toPeer                // known destination whose flow is not installed yet
	toAll                 // flooded over the overlay
)

// decide returns what becomes of a frame from a local container, and with reply
// which address owner the answer names, with toPeer which peer gets it. The bridge
// has already delivered broadcasts to the other local containers.
func decide(t *overlay.Table, self nodeid.ID, frame []byte) (a action, q packet.Query, e overlay.Entry) {
	if len(frame) < packet.HeaderLen {
		return discard, q, e
	}
	if dst := packet.Destination(frame); !packet.IsMulticast(dst) {
		e, known := t.LookupMAC(dst)
		switch {
		case !known:
			return toAll, q, e
		case e.Node == self:
			return discard, q, e
		default:
			return toPeer, q, e
		}
	}
	q, ok := packet.Question(frame)
	if !ok {
		return toAll, q, e
	}
	e, known := t.Lookup(q.Target)
	switch {
	case !known:
		return toAll, q, e
	case e.Node == self:
		return discard, q, e // the container that has it answers by itself
	default:
		return reply, q, e
	}
}

// readFabric carries frames from the bridge until the device is closed.
func (n *network) readFabric(context.Context) {
	var v frame.Vector
	var out []byte
	one := make([]frame.Frame, 1)
	for n.fabric.ReadFrames(&v) == nil {
		n.loops.frames.Add(uint64(len(v.Frames)))
		for _, f := range v.Frames {
			if n.claimer.answerCame(f.Data) { // it lacks nothing: the device has no offloads
				continue
			}
			node := n.currentNode()
			if node == nil {
				continue
			}
			a, q, e := decide(node.Table(), node.ID(), f.Data)
			switch a {
			case reply:
				out = packet.Answer(out[:0], q, e.MAC)
				n.inject(out)
			case toPeer:
				one[0] = f
				n.links.sendTo(e.Node, one)
			case toAll:
				n.broadcast(node, f.Data)
			case discard:
			}
		}
		v.Release()
	}
}

// inject gives a frame to the local containers through the fabric port.
func (n *network) inject(data []byte) { n.injectFrame(frame.Frame{Data: data}) }

// injectFrame is inject for a frame of another engine.
func (n *network) injectFrame(f frame.Frame) {
	if _, err := n.fabric.WriteFrames([]frame.Frame{f}); err != nil {
		n.refused(err, &n.drops.fabricWrite, f)
	}
}
