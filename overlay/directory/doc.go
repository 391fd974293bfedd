// Package directory knows which node of an overlay owns which address, from
// claims that the nodes sign and announce to each other over their sessions.
//
// A Claim is of one Key: an IP address, with the MAC address that answers for it,
// or a MAC address. The second says behind which node a MAC address is; an address
// is answered only if its owner also holds its MAC address. A record is one signed
// claim. Records may arrive in any order, again, or never; the newest of each owner
// and key counts, by the owner's own sequence numbers, which go on over restarts.
//
// Who holds a key does not depend on anybody's clock:
//
//   - A claim is of a generation. Claim takes a key only if nobody else holds it, or
//     its owner withdrew or could not be reached for 3 s; the new claim is one
//     generation higher. Otherwise it is refused by an error that names the owner.
//   - Everybody follows the present owner while it can be reached and does not
//     withdraw, whatever others claim meanwhile.
//   - So after a partition heals, or when two nodes claimed at once, the owners settle
//     it: the higher generation stays, then the lower node ID. The loser withdraws and
//     is told, and everybody follows the winner. The loser claims again when the
//     winner is gone. Keep puts a container that has its address already in the
//     loser's place from the beginning.
//   - An address goes with its MAC address: who loses that withdraws the address, so
//     that the two never end at different nodes.
//   - An owner gives way only to a node that may not have known its claim, because
//     their session or the claim is less than a minute old. Any other claim is refused
//     and counted.
//
// What this does not stop: a member that means harm can claim what another has
// claimed within the last minute, or break its sessions and come back, with a higher
// generation. The loser's status shows who did.
//
// A Directory is pure: it returns what to announce and what has changed, time is an
// argument, and there is no goroutine, clock, log or I/O. It belongs to one
// goroutine. Changes to the members themselves come by DropNode and keyOf.
package directory
