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
// the secret, package record protects what follows. The first valid record each
// way confirms the keys; then ICE agents and DTLS connection are closed without
// a word, and probe records tell round trip and liveness.
//
// A path is the socket with one of this machine's addresses, or a TURN allocation,
// and an address of the peer. A relay is asked for when no direct path is found for
// a while. Once the session is established its path moves, by the word of probes
// alone: package path decides, pilot.go carries out, arrive.go tells what has come.
//
// Keys are replaced from time to time by those of a further handshake, inside the
// records of the session: package rekey holds them and decides, rekeyer.go drives.
//
// The package knows no ring, no overlay protocol and no XMPP: the parameters of
// the peer and the hash both ends bind their keys to come from the caller, who
// has verified who signed them.
//
// All methods may be called by any goroutine, also from within a Handler, except
// Transport.Close, which waits for the sessions to end. The methods of one
// Handler are never called at once.
package session
