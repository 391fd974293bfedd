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
// a flood ends. A relay that knows the next live node inside its arc loses nobody.
//
// # Origin
//
// The origin signs what names a frame, and the frame: whose it is does not depend on
// those who hand it on. The arc is theirs, hence not signed. A signature is checked
// last, because it is dear, and before the frame counts anywhere as the origin's: what
// is forged uses up neither its numbers nor its budget.
//
// # Twice
//
// A frame is named by (origin, start, sequence), where start is drawn anew when the
// origin joins. The name suppresses a second delivery. All arcs at a node begin there,
// so of two one is part of the other: an arc that is not longer than the longest of
// its frame is a duplicate, of a longer one what is new is handed on.
//
// Of each start a sliding window of numbers is remembered, as in RFC 4303 section
// 3.4.3; what is behind it counts as delivered. What is remembered is bounded, oldest
// out, and gone when the process ends: a frame that comes again after that is
// delivered again, unless it is older than Skew.
//
// # Limits
//
// A frame and its bytes are first taken from the budget of the neighbour that brought
// it, who is who the session says, and then from that of its origin, once. Longer
// arcs of the frame are charged to the neighbour again, in a budget of their own.
package flood
