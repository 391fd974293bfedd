// Package udp owns the one UDP socket of the process.
//
// A path is a local address and a remote address, so every datagram is
// delivered with the address it was sent to (IP_PKTINFO) and is sent from a
// chosen one. The socket is bound to the wildcard address of both families; a
// host without IPv6 gets an IPv4 socket. Datagrams are told apart by their
// first byte (RFC 7983): STUN, handshake and record, nothing else is ours.
//
// Run delivers vectors of datagrams from one goroutine, the caller's. Send,
// Source, Stats and Close may be called at any time by any goroutine. Inbox
// lends libraries that want a net.PacketConn their share of the socket.
//
// The package knows no session, no key and no STUN beyond its first byte.
package udp
