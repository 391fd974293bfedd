package session

import (
	"fmt"

	"evio/datapath/record"
)

// Kind says what a frame is for; it travels inside the protected record.
type Kind uint8

// Kinds of frames.
const (
	Data     Kind = 1 // an Ethernet frame for a port of this node
	Flood    Kind = 2 // a flooded frame with its flood header
	Control  Kind = 3 // a message of the overlay's control protocol
	Envelope Kind = 4 // something carried for other nodes
	Probe    Kind = 5 // the session's own: never sent or received by callers
	Rekey    Kind = 6 // the session's own: never sent or received by callers
)

// MaxControl is the largest control frame: a message of 8 KiB with its header.
const MaxControl = 8<<10 + 27

// String returns the name of the kind.
func (k Kind) String() string {
	switch k {
	case Data:
		return "data"
	case Flood:
		return "flood"
	case Control:
		return "control"
	case Envelope:
		return "envelope"
	case Probe:
		return "probe"
	case Rekey:
		return "rekey"
	default:
		return fmt.Sprintf("kind %d", uint8(k))
	}
}

// own reports whether callers never send or receive the kind.
func (k Kind) own() bool { return k == Probe || k == Rekey }

// limit returns the length of the largest frame of the kind, 0 for a kind that does not
// exist.
func (k Kind) limit() int {
	switch k {
	case Data, Flood, Envelope:
		return record.MaxFrame
	case Control:
		return MaxControl
	case Probe, Rekey:
		return record.MaxWhole
	default:
		return 0
	}
}
