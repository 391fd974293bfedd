// Package record protects what a session sends: the format of records, their
// keys, their replay windows, and the slices of frames that do not fit one.
//
// A record is one UDP datagram:
//
//	byte  0      193
//	bytes 1–4    session index of the receiver
//	bytes 5–12   counter: slot (8 bits), generation (8 bits), number (48 bits)
//	bytes 13–    AEAD ciphertext of the plaintext, 16 bytes of tag at its end
//
// The nonce is the slot's IV with the counter exclusive-ored into its last
// eight bytes, as in TLS 1.3 (RFC 8446 section 5.3); the whole header is
// additional data. Each direction and slot has its own key, numbers and replay
// window, so that a second path or a second queue never waits for the first.
// Keys are the unit that is replaced: the generation tells which of a session's
// sets, one after the other, a record was made with. After 2^40 records of a slot
// the owner is notified that it is time for new keys, after 2^48 nothing is sealed.
//
// The plaintext is a byte of kind, a byte of form, for a slice eight bytes of
// {frame id, offset, total}, and the frame or its part. A whole frame may have its TCP or
// UDP checksum unfinished, which is a form of its own. A Batch holds the records that a
// vector of frames becomes; they are sealed together and sent by few system calls.
//
// The package does no I/O and knows no session, no clock and no peer. Sealers
// may be used by many goroutines at once, each with its own Batch. A Rejoiner and the
// openers of a set of Keys serve one goroutine at a time: whoever has several readers
// guards each set of keys by a lock.
package record
