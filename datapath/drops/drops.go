// Package drops names every reason for which the datapath discards a datagram,
// a record or a frame, and counts them.
//
// It is one table for all packages below datapath, so that the status document
// has one vocabulary. It knows nothing of what it counts. Counters may be used
// by any number of goroutines at once; a zero Counters is ready.
package drops

import "sync/atomic"

// Cause is a reason to discard. The names are part of the status document.
type Cause uint8

// Causes, in the order in which a datagram meets the code that checks them.
const (
	Unclassified Cause = iota // first byte is neither STUN nor ours (RFC 7983)
	Truncated                 // longer than any datagram of ours

	STUNMalformed   // not a STUN message (RFC 8489 section 5)
	STUNUnsupported // a method or class that ICE and reflexive queries do not use
	STUNUsername    // no agent with this local ufrag
	STUNLocal       // arrived at an address that is no candidate of the agent
	STUNSource      // a request from one address too many
	STUNIntegrity   // a request from an unknown address, by somebody who does not know the session's parameters
	STUNTransaction // a response to no request of ours
	STUNQueue       // the agent does not read fast enough

	HandshakeShort
	HandshakeIndex // no session is connecting under this index
	HandshakeTag   // not made from the two parameter sets of this session
	HandshakeQueue
	HandshakeProof // a message of the proof of the overlay's secret that is malformed, or another than before

	RecordShort
	RecordIndex    // no session under this index
	RecordKeys     // the session has no keys yet
	RecordSlot     // a slot or generation that does not exist
	RecordForged   // does not open under the session's keys
	RecordReplayed // seen before, or older than the window
	RecordPlain    // opened, but is no frame, slice or probe
	RecordClosed   // arrived while the session closes

	SliceMalformed // absurd total, offset or length
	SliceMismatch  // same frame id with another kind or total
	SliceOverlap
	SliceEvicted // too many frames in the making
	SliceExpired // the rest did not come in time

	ProbeUnknown // an answer to no probe of ours, or an unknown operation
	PathSize     // a large probe without an answer, while a small one had one
	PathLimit    // a record from one address too many, whose route is not tried; an event too many

	RekeyStale // of a rekey that is over, or of none
	RekeyQueue // the rekey does not read fast enough

	SendSize      // a frame larger than its kind allows
	SendSegments  // a super-frame or an unfinished checksum that is not understood
	SendPath      // no path to send on
	SendSocket    // refused by the kernel
	SendRelay     // a TURN server takes them too slowly, or does not permit the peer's address
	SendExhausted // the keys have protected all the records they may

	Causes // number of causes
)

// String returns the name of the cause in the status document.
func (c Cause) String() string {
	if c < Causes {
		return names[c]
	}
	return "unknown"
}

var names = [Causes]string{
	Unclassified:    "unclassified",
	Truncated:       "truncated",
	STUNMalformed:   "stun_malformed",
	STUNUnsupported: "stun_unsupported",
	STUNUsername:    "stun_username",
	STUNLocal:       "stun_local",
	STUNSource:      "stun_source",
	STUNIntegrity:   "stun_integrity",
	STUNTransaction: "stun_transaction",
	STUNQueue:       "stun_queue",
	HandshakeShort:  "handshake_short",
	HandshakeIndex:  "handshake_index",
	HandshakeTag:    "handshake_tag",
	HandshakeQueue:  "handshake_queue",
	HandshakeProof:  "handshake_proof",
	RecordShort:     "record_short",
	RecordIndex:     "record_index",
	RecordKeys:      "record_keys",
	RecordSlot:      "record_slot",
	RecordForged:    "record_forged",
	RecordReplayed:  "record_replayed",
	RecordPlain:     "record_plain",
	RecordClosed:    "record_closed",
	SliceMalformed:  "slice_malformed",
	SliceMismatch:   "slice_mismatch",
	SliceOverlap:    "slice_overlap",
	SliceEvicted:    "slice_evicted",
	SliceExpired:    "slice_expired",
	ProbeUnknown:    "probe_unknown",
	PathSize:        "path_size",
	PathLimit:       "path_limit",
	RekeyStale:      "rekey_stale",
	RekeyQueue:      "rekey_queue",
	SendSize:        "send_size",
	SendSegments:    "send_segments",
	SendPath:        "send_path",
	SendSocket:      "send_socket",
	SendRelay:       "send_relay",
	SendExhausted:   "send_exhausted",
}

// Counters counts discards by cause.
type Counters [Causes]atomic.Uint64

// Add counts one discard.
func (c *Counters) Add(cause Cause) { c[cause].Add(1) }

// AddN counts n discards.
func (c *Counters) AddN(cause Cause, n uint64) { c[cause].Add(n) }

// Get returns the count of one cause.
func (c *Counters) Get(cause Cause) uint64 { return c[cause].Load() }

// Map returns the causes that have occurred.
func (c *Counters) Map() map[string]uint64 {
	m := make(map[string]uint64)
	for cause := range Causes {
		if n := c[cause].Load(); n != 0 {
			m[cause.String()] = n
		}
	}
	return m
}
