// Package connect holds what leads two nodes from their parameters to common keys, before
// there is a session.
//
//   - Parameters are what the ends send each other first, and their encoding.
//   - Gatherer finds the own candidates: addresses of this machine, and what NATs show of them.
//   - Search finds a path to the peer by ICE.
//   - Dial makes the DTLS connection that authenticates the peer, on top of Flights. TaggedConn
//     carries the flights of a first handshake.
//   - Machine decides what is done when: searching, handshakes, the TURN server, the time limit.
//     It is pure: package session drives it.
//
// Search and what Dial returns have goroutines. Whoever starts one stops it and waits for it.
package connect
