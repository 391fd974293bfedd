package contact

import "crypto/sha256"

// Effect is what the caller has to do for a Contact: one of OpenSession,
// ConnectSession, SendEnvelope and CloseSession, carried out in the order returned.
type Effect interface{ effect() }

// OpenSession asks for a new local session object under this attempt number, which
// names it until its end. Its parameters come back by LocalParameters, its end by
// Closed.
type OpenSession struct{ Attempt uint64 }

// ConnectSession gives the session of Attempt the peer's parameters. It may come
// again, with newer ones or because our own are newer, as long as the session was not reported Established; a
// session that is established by then keeps what it has, which Unconnected tells. One
// that refuses for another reason is closed by the caller, and Closed tells of that.
type ConnectSession struct {
	Attempt uint64
	// Remote is the number of the peer's attempt, for the log.
	Remote     uint64
	Parameters []byte
	// Binding is equal at both ends exactly when both connect the same two attempts.
	Binding [sha256.Size]byte
}

// SendEnvelope asks for a signed envelope to be brought to the peer, once, by the
// best carrier there is; it may be lost.
type SendEnvelope struct{ Envelope []byte }

// CloseSession ends the session of Attempt. The Contact has forgotten it: its
// Closed event may come and is ignored.
type CloseSession struct{ Attempt uint64 }

func (OpenSession) effect()    {}
func (ConnectSession) effect() {}
func (SendEnvelope) effect()   {}
func (CloseSession) effect()   {}
