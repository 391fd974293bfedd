// Package flood brings a frame to every node of the ring once: the origin hands each
// of its neighbours the arc of the ring up to the next neighbour, and each relay
// splits the arc that it was handed in the same way. On a whole ring that is n − 1
// copies, each node is reached by exactly one, and the depth is that of greedy
// routing, O(log n).
//
// A Flood is one node's part in it. It is pure: frames' headers in, headers to be
// sent out; time is an argument; it has no goroutine, clock, log or I/O and never
// sees the frames themselves. It belongs to one goroutine.
//
// # Arcs
//
// A node X that is handed the arc end E answers for itself and for the nodes strictly
// between X and E, clockwise. Whatever the relays believe about the ring, each copy's
// arc is a proper part of the one it came from and never reaches past the origin, so
// a flood ends; the hop limit is for nodes that do not keep to this. A relay that
// knows the next live node inside its arc loses nobody.
//
// # Twice
//
// A frame is named by (origin, start, sequence), where start is drawn anew when the
// origin's process starts. The name suppresses a second delivery; it does not suppress
// forwarding, which is keyed by the name and the arc: a second arc of the same frame
// is other work, the same arc again is none.
//
// A sequence number suppresses itself alone. Whatever jump a number makes, and
// whichever start is named, numbers that were not seen are delivered (see window), and
// so a forged header can take away at most the frames that it names. What is
// remembered is bounded, oldest out; a frame that comes again after it was forgotten
// is delivered again.
//
// # Limits
//
// A frame and its bytes are first taken from the budget of the neighbour that brought
// it, then, if it is new and its arc is valid, from that of its origin. The neighbour is who the session says it is; the
// origin is what the header says, so the neighbour's limit is the one that holds
// against a member who makes origins up.
package flood
