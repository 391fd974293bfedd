// Package overlay is the control plane of one overlay: who its members are, how
// they are reached, where they stand on the ring, and who owns which address.
//
// A [Node] is this engine's presence in one overlay. One goroutine (Run) owns it
// and drives the pure cores beneath: contact (first contact with a peer), control
// (small reliable messages over a session), symphony (the ring), flood (bounded
// flooding along the ring) and directory (signed claims of addresses). What
// carries datagrams and what forwards frames is somebody else's: the interfaces
// here say what a node needs of them, and nothing in this package knows Open
// vSwitch, TAP devices or ICE.
package overlay

import (
	"crypto/ed25519"
	"errors"

	"evio/overlay/nodeid"
)

// MaxNodes is the size up to which the nodes of an overlay keep sessions with all
// others.
const MaxNodes = 16

// MAC is an Ethernet address.
type MAC = [6]byte

// Sessions opens sessions to other nodes.
type Sessions interface {
	// Open starts a session with the peer and returns at once. Its events come
	// from other goroutines, each session's in order. An error that the log has
	// been told of is an ErrReported.
	Open(peer nodeid.ID, key ed25519.PublicKey, events SessionEvents) (Session, error)
}

// ErrReported is in errors of Sessions that the log need not be told of again.
var ErrReported = errors.New("reported before")

// What errors of a Session say to its node.
var (
	ErrEstablished = errors.New("session is established") // it takes no other parameters
	ErrClosed      = errors.New("session is closed")      // Closed comes or has come
	ErrSecret      = errors.New("overlay secrets differ") // somebody must do something about it
)

// Session is one attempt to share keys and a path with a peer, and then those
// keys and that path. Its methods may be called from any goroutine and never wait
// for the peer.
type Session interface {
	// Connect gives the session the peer's parameters and the hash that both ends
	// bind their keys to. Until the session is established it may be given newer ones,
	// or the same with another hash; then the error is ErrEstablished, and ErrClosed
	// after its end. Any other error is a reason to close it.
	Connect(parameters []byte, binding [32]byte) error
	SendControl(frames [][]byte) error
	SendFlood(frames [][]byte) error
	Close()
}

// SessionEvents is what a session tells its node. Frames are valid during the call
// only; no call may block.
type SessionEvents interface {
	// Parameters says what the peer has to be told of this attempt. It may come again
	// before Established, with all that there is to tell by then: the session is
	// connected again, with a new binding.
	Parameters(p []byte)
	Established()
	Control(frames [][]byte)
	Flood(frames [][]byte)
	Closed(err error) // the last event
}

// Fabric is the network beneath a node. Its methods must not block. But for Deliver they
// are called from the node's goroutine.
type Fabric interface {
	// LinkUp says which session serves the peer from now on.
	LinkUp(peer nodeid.ID, s Session)
	LinkDown(peer nodeid.ID)
	// DirectoryChanged says what Table gives otherwise than when it was called last. Table
	// itself shows each change at once; this is called at most every 50 ms.
	DirectoryChanged(changes []Change)
	// Deliver hands over a flooded frame for the local ports, and the member that it
	// is from. Whether the frame tells the truth about that member's addresses, by Table
	// as it is, is for the Fabric to see: it returns false, and has done nothing, if not.
	// That nobody else holds its source MAC has been seen. The frame is valid during the
	// call only. It is called from several goroutines.
	Deliver(origin nodeid.ID, frame []byte) bool
	// DeliverOrHold is Deliver for a frame behind what was announced before it. One that
	// a later announcement may put right is kept for that.
	DeliverOrHold(origin nodeid.ID, frame []byte)
}
