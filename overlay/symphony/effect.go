package symphony

import "evio/overlay/nodeid"

// Effect is work that a Ring asks for: a Send, a LinkUp or a LinkDown.
type Effect interface{ effect() }

// Send asks for a message to be sent to a live node, once, best effort.
type Send struct {
	To      nodeid.ID
	Message []byte // the receiver's
}

// LinkUp says that the node is a ring link now, of this type; for a node that
// already was one, that its type has changed.
type LinkUp struct {
	ID   nodeid.ID
	Type EdgeType
}

// LinkDown says that the node is no ring link any more.
type LinkDown struct{ ID nodeid.ID }

func (Send) effect()     {}
func (LinkUp) effect()   {}
func (LinkDown) effect() {}

// EdgeType is what a link is to this end of it.
type EdgeType uint8

// The first three are also what one end can want of the other on the wire.
const (
	None         EdgeType = iota
	Successor             // one of the next nodes clockwise
	LongDistance          // drawn by this node
	Predecessor           // the other end's successor is this node
	Incoming              // drawn by the other end
)

// Mirror returns what the link is to the other end.
func (t EdgeType) Mirror() EdgeType {
	switch t {
	case Successor:
		return Predecessor
	case Predecessor:
		return Successor
	case LongDistance:
		return Incoming
	case Incoming:
		return LongDistance
	case None:
	}
	return None
}

func (t EdgeType) String() string {
	switch t {
	case None:
		return "none"
	case Successor:
		return "successor"
	case Predecessor:
		return "predecessor"
	case LongDistance:
		return "long-distance"
	case Incoming:
		return "incoming long-distance"
	}
	return "unknown"
}
