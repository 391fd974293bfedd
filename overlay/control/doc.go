// Package control carries small messages between the two ends of one session over
// its unreliable datagrams: each message arrives once, whole, and in the order in
// which it was sent, or not at all because the session has ended.
//
// A Conn is one end. It belongs to one session and starts with it: a new session
// between the same nodes has new Conns, and what the old ones had not delivered is
// lost, so the two ends tell each other their state again.
//
// Conn is pure. Frames to be sent are returned, time is an argument, and there is
// no goroutine, clock, log or I/O. It belongs to one goroutine. The frames come
// from an authenticated peer and are not trusted any further: sizes, numbers and
// memory are bounded. It does not declare a peer dead; the session does.
//
// What the payloads mean is the reader's matter. A Type that the reader does not
// know is skipped by it.
//
// A peer that answers slowly is sent no more than 64 messages or 64 KiB at a time.
// What waits for that is bounded by 4,096 messages and 1 MiB; beyond it Send
// refuses with ErrFull and takes nothing.
package control
