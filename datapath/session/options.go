package session

import (
	"crypto/ed25519"
	"errors"
	"fmt"

	"github.com/sirupsen/logrus"

	"evio/datapath/frame"
	"evio/datapath/proof"
	"evio/datapath/record"
	"evio/datapath/session/connect"
)

// Handler learns what happens to a session. Its methods are called one at a time and must
// not block.
type Handler interface {
	// Parameters hands over the own parameters, at most two seconds after Open. It is
	// called again before Established if no path is found without a TURN server. These
	// parameters have a relayed candidate more, and are the same otherwise.
	Parameters(s *Session, parameters []byte)
	// Established says that keys are confirmed by both ends and records flow.
	Established(s *Session)
	// Frames hands over Ethernet frames, of kind data. They are valid during the call only,
	// and their checksums may be unfinished. Segments that continue one another may be
	// merged, see Merge. The call comes from a reader of datagrams.
	Frames(s *Session, frames []frame.Frame)
	// Receive hands over frames of the other kinds, which are valid during the call only. It
	// comes from a reader of datagrams.
	Receive(s *Session, kind Kind, frames [][]byte)
	// Closed is the last call, made exactly once. After Close the error is ErrClosed. If
	// the peer has got what lets it test a guess of the overlay's secret, and has not
	// proved one, the error is also ErrSecret or ErrUnproved.
	Closed(s *Session, err error)
}

// Options describe a session.
type Options struct {
	Local, Remote [16]byte          // node IDs; the lower one is ICE controlling and DTLS client
	RemoteKey     ed25519.PublicKey // identity of the peer
	Overlay       string            // for logs
	// Secrets returns the overlay's secrets as they are now: one or two, the one to use
	// first. It is called at each handshake, from goroutines of the session, and must not
	// block. nil: the overlay has no secret.
	Secrets func() []proof.Secret
	// Doubt is called, from goroutines of the session, when a proof has succeeded but may
	// have let the peer test a guess of another secret than the one it has. It must not
	// block. nil: nothing is called.
	Doubt      func()
	Encryption connect.Encryption // sent to the peer and bound to the keys
	Location   string             // sent to the peer and bound to the keys
	Frames     []int              // lengths of the largest frames of each kind that the network sends, except control
	Handler    Handler
	Log        *logrus.Entry // nil: the transport's
}

func (o Options) validate() error {
	var faults []error
	if len(o.RemoteKey) != ed25519.PublicKeySize {
		faults = append(faults, errors.New("the peer's key is missing"))
	}
	if o.Local == o.Remote {
		faults = append(faults, errors.New("both ends have the same node ID: two engines must not share one identity"))
	}
	if o.Handler == nil {
		faults = append(faults, errors.New("the handler is missing"))
	}
	if len(o.Location) > connect.MaxLocation {
		faults = append(faults, fmt.Errorf("location has %d bytes, at most %d are allowed", len(o.Location), connect.MaxLocation))
	}
	return errors.Join(faults...)
}

// largestRecord is the size of the largest records that the network's frames become.
func (o Options) largestRecord() int {
	size := 0
	for _, frame := range o.Frames {
		size = max(size, record.Largest(frame))
	}
	if size == 0 {
		return record.MaxSize
	}
	return size
}

// State is where a session stands in its life.
type State uint8

// States of a session.
const (
	Gathering State = iota
	Ready
	Connecting
	Established
	Closed
	states // number of states
)

var stateNames = [states]string{"gathering", "ready", "connecting", "established", "closed"}

// String returns the name of the state in the status document.
func (s State) String() string {
	if s < states {
		return stateNames[s]
	}
	return "unknown"
}

// MarshalText implements encoding.TextMarshaler.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
