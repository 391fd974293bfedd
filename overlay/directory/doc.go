// Package directory knows which node of an overlay owns which address, from
// claims that the nodes sign and announce to each other over their sessions.
//
// A Claim is of one Key: an IP address, with the MAC address that answers for it, a MAC
// address, or a range of addresses. The second says behind which node a MAC address is; an
// address counts only while its owner also holds its MAC address. The third says where Docker
// hands out the addresses. A record is one signed claim. Records may arrive in any order,
// again, or never; the newest of each owner and key counts, by the owner's own sequence
// numbers, which go on over restarts.
//
// These nodes have a right to a key, in this order:
//
//   - The node to which the operator has bound the address (Config.Reserved).
//   - The node that holds the range, for what its Docker handed out (Claim, and not Take).
//   - The node that held it first.
//
// The holder of a key keeps it, whatever others claim. Two things move it:
//
//   - A holder that is out of reach for 3 s may be replaced. The same life of it, back within
//     half an hour, has it again at once; a new life, or a later one, has not. Nor has one
//     that had held it for less than a minute.
//   - If neither owner had known the other's claim, and others do not say for sure which of
//     the two they followed first, the higher generation stays, then the lower node ID.
//
// None of this depends on anybody's clock, nor on a single node's word. Which node held a key
// first is what a node has seen itself, or what third nodes in reach testify: as soon as two
// claims meet, or one is marked as disputed, every other node says which one it follows and for
// how long. An owner of more than a minute listens for 5 s before it gives way to anybody. What
// one node does for one key is held down for longer each time, so a member that flips a key
// makes nobody else speak.
//
// An address goes with its MAC address: a node that loses the MAC address withdraws the address,
// so that the two never end at different nodes. Keep puts a container that has its address
// already in the loser's place from the beginning.
//
// A node that begins anew knows by Config.Known what it held and whom it followed; without it
// it is new, and hears what the others testify.
//
// What this does not stop: a member that lies can outbid a claim within its first minute, or
// one that was not announced to it, if others follow both since the same few seconds. As long as
// an owner reaches no third node, such a member can take what was claimed while the two had no
// session, or come back after half an hour or in the moment in which the owner begins anew. A
// node that is new and hears the liar first believes it until a third node speaks. A claim that
// was announced to only one node is first from then on, if nobody else held the key. The
// operator's reservations are above all that.
//
// A Directory is pure: it returns what to announce and what has changed, time is an
// argument, and there is no goroutine, clock, log or I/O. It belongs to one
// goroutine. Changes to the members themselves come by DropNode and keyOf. A record costs the
// same however many keys there are: each node's keys, and the addresses of each MAC address,
// have an index of their own. Ages are looked at every 10 s.
package directory
