// Package session keeps keys and a path between two nodes of an overlay.
//
// A Transport owns the process's UDP socket; a Session is one overlay's
// connection to one peer. Its life:
//
//	Open ─> gathering ─Parameters─> ready ─Connect─> connecting ─Established─> established
//	             │                    │                  │                          │
//	             └────────────────────┴───── Closed ─────┴──────────────────────────┘
//
// ICE finds the path, DTLS 1.2 authenticates the peer's Ed25519 key and makes
// the secret, package record protects what follows. The first valid record in each
// direction confirms the keys; then ICE agents and DTLS connection are closed
// without a message, and probe records show round trip and liveness.
//
// A path is the socket with one of this machine's addresses, or an allocation of a TURN
// server, and an address of the peer. A TURN server is asked for when no direct path is
// found for a while. Once the session is established its path moves, and only answers to
// probes move it.
//
// # Where to find what
//
// What decides has no goroutine, clock or I/O, and lies below this package: connect.Machine
// (how a session is established), path (which path it takes), rekey (when its keys are
// replaced). Here is what drives these, one goroutine each:
//
//   - session.go: Transport.Open, which makes a Session, and what callers do with it;
//     options.go, errors.go and kind.go: the types they need for that. info.go: Session.Info,
//     which describes it. life.go: a session's goroutine from Open to Closed.
//   - connector.go drives connect.Machine. handshake.go runs the DTLS handshakes, the first one
//     and those of rekeys; proof.go has both ends prove the overlay's secret in them.
//   - pathdriver.go drives the machines of path, turn.go holds a session's TURN allocation,
//     and turnlimit.go bounds what a peer gets of it.
//   - rekeyer.go drives rekey.Machine.
//   - transport.go: the socket of all sessions. receive.go: records in, vector.go: the frames in
//     them. send.go: records out, outbox.go: what frames become; outlet.go: what sends on a path.
//     probes.go: a session's own records. iceservers.go: STUN and TURN servers.
//
// The package knows no ring, no overlay protocol and no XMPP: the parameters of
// the peer and the hash both ends bind their keys to come from the caller, who
// has verified who signed them.
//
// Readers take in what comes: one for the socket, and one for each connection to a TURN server.
// No lock is common to all sessions: the openers of a session's keys have a lock of that session.
//
// All methods may be called by any goroutine, also from within a Handler, except
// Transport.Close, which waits for the sessions to end. The methods of one
// Handler are never called at once.
package session
