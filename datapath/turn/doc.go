// Package turn has relayed addresses from TURN servers (RFC 8656).
//
// A Pool holds one allocation for all sessions of the engine, and for an hour
// also the one before if its credentials expire (CredentialUse). Acquire
// returns the one there is, waits for the attempt that others began, or begins
// one: servers are asked in their order, the next one half a second after the
// one before or when that failed; the first success wins and what the others
// got is given back. Addresses of one server are raced in the same way. The
// allocation is given back 3 s after the last Release. Done of an allocation
// is closed when it is lost; whoever still needs one acquires anew.
//
// Send never waits for the server. A peer's address needs a permission, which
// Permit gets beforehand; Send to one without gets it in the background and
// keeps a few datagrams until then. Requests wait while too many have no answer;
// one that waits too long fails alone. A peer that is sent to repeatedly gets a
// channel, which costs 4 bytes instead of 36. Over TCP and TLS datagrams pass
// a bounded queue.
//
// Of pion/turn the transactions are used: its requests, repetitions and
// answers. Its relayed connection is not, because it has no way to permit a
// peer without sending to it, waits for permissions in WriteTo, takes a refused
// refresh for success, ends with the first message that does not parse, and
// keeps every peer for ever. The allocation's life is thus here: one request
// each 10 s tells whether server and allocation are there and keeps NAT
// mappings open.
//
// Everything is bounded: peers, channels, queues, repetitions. Peers that are
// loopback, link-local, multicast or unspecified are refused.
package turn
