// Package turn gets relayed addresses from TURN servers and sends through them (RFC 8656).
//
// A Pool holds one allocation for all sessions of the engine. Acquire returns it. If there is
// none, Acquire waits for the allocation that another caller has asked for, or asks for one:
// it asks the servers in their order, each one half a second after the one before, or when
// that one has failed. The first success wins, and what the others got is given back. The
// addresses of one server are raced in the same way. The allocation is given back 3 s after
// the last Release. Done of an allocation is closed when it is lost; whoever still needs one
// acquires another. If the credentials of an allocation expire (CredentialUse), a new one
// takes its place while the old one serves its users for another hour.
//
// SendRuns never waits for the server. A peer's address needs a permission, which Permit gets
// beforehand. If there is none, SendRuns asks for it in the background and keeps a few datagrams
// until then. Requests wait while too many have no answer; one that waits too long fails
// alone. A peer that is sent to repeatedly gets a channel, which costs 4 bytes per datagram
// instead of 36. Over TCP and TLS datagrams pass a bounded queue.
//
// Datagrams go and come in batches, as at the socket of package udp: by UDP the kernel cuts
// and merges their messages, since datagrams of one size have messages of one size, and a
// stream takes those of one call in one write and gives as many as it has in one read.
//
// The package uses the transactions of pion/turn: its requests, repetitions and answers. It
// does not use pion's relayed connection, which cannot permit a peer without sending to it,
// waits for permissions in WriteTo, takes a refused refresh for success, ends with the first
// message that does not parse, and keeps every peer for ever. So the life of an allocation
// is here: one request every 10 s shows whether server and allocation are there, and keeps
// NAT mappings open.
//
// Everything is bounded: peers, channels, queues, repetitions. Peers with loopback,
// link-local, multicast or unspecified addresses are refused.
package turn
