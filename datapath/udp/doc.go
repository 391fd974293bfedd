// Package udp owns the one UDP socket of the process.
//
// A path is a local address and a remote address, so every datagram is
// delivered with the address it was sent to (IP_PKTINFO) and is sent from a
// chosen one. The socket is bound to the wildcard address of both families; a
// host without IPv6 gets an IPv4 socket. Datagrams are told apart by their
// first byte (RFC 7983): STUN, handshake and record, nothing else is ours.
//
// Many datagrams pass in one system call (Conn). Where the kernel can, it cuts
// a run of datagrams that is sent, and merges those that arrive into runs. It
// merges whatever has one path and one size, so a run may hold datagrams of
// any class and of several sessions: each is delivered by itself.
//
// Run delivers vectors of datagrams from one goroutine, the caller's. Send,
// SendRuns, Source, Stats, Offloads and Close may be called at any time by any
// goroutine. Inbox lends libraries that want a net.PacketConn their share of
// the socket.
//
// The package knows no session, no key and no STUN beyond its first byte.
package udp
