// Package rekey replaces the keys of an established session. It holds the decisions and
// nothing that waits: no socket, no goroutine, no clock.
//
//   - Machine decides when a further handshake begins, what becomes of its keys, and when the
//     old ones are forgotten.
//   - Keyring holds the keys that are in use, of up to three generations.
//   - Message is the body of a rekey record (docs/PROTOCOL.md).
//
// A Machine belongs to one goroutine. A Keyring may be used by any number at once.
package rekey
