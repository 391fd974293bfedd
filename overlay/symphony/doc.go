// Package symphony decides which of the nodes that a node can reach are its ring
// links: a Symphony ring (Manku, Bawa, Raghavan: "Symphony: Distributed Hashing in
// a Small World", USITS 2003) over 128-bit node IDs, with two successors and
// k = ⌈log2 n⌉ long-distance links drawn from the harmonic distribution.
//
// A Ring is one node's part in it. It is pure: NodeUp, NodeDown, Message and Tick
// are its events; the work they cause is returned as effects; time and randomness
// are arguments. It has no goroutine, clock, log or I/O, and it opens no session:
// NodeUp says that one exists, and of those it makes links. A Ring belongs to one
// goroutine.
//
// # A link has two ends that agree
//
// Each end wants a link to the other or not, as its successor or as a long-distance
// link, and answers what the other wants. A link exists when at least one end wants
// it and the other has accepted; where both want it, the type that the lower node ID
// wants is the link's. Both ends therefore know the same two wants and the same two
// answers, and come to the same result.
//
//	           want                    accept
//	no link ────────────▶ requested ────────────▶ link
//	   ▲                      │                     │
//	   │        refuse        │     want nothing,   │
//	   └──────────────────────┴───── refuse, ───────┘
//	                               node down
//
// One kind of message carries all of it: an end's whole side of the pair, with a
// number that grows when it changes and the number it has seen of the other's (see
// Message). Messages may be lost, repeated and overtake each other: a side is sent
// again until it is acknowledged, an older one than known changes nothing, and the
// ends of a link compare notes now and then, so that an end which has forgotten the
// other (its session bounced unnoticed) gets the side again.
//
// # Floods miss nobody meanwhile
//
// A flood hands a neighbour all nodes up to the next neighbour, and a neighbour that
// cannot reach one of them loses it: one whose sessions are just being made, or one
// that never gets a session with somebody. The ends of a link therefore also tell each
// other which nodes they reach, as a number that stands for the set. Neighbours, which
// says where a flood goes, is the links, and behind each one that does not reach
// exactly the same nodes, or has not said so yet, also the nodes up to the next link,
// one by one. So whoever the origin reaches is reached, whatever the state of the
// links, and by n − 1 copies.
//
// That a node is up must mean that frames sent to it arrive, even if the other end has
// not noticed the session yet: of a new session one end is always first.
//
// # What comes later
//
// NextHop is greedy routing with one-hop lookahead as a pure function. Joining by
// looking up one's own ID, and telling neighbours one's links, are not here yet. Nor
// is a ring without sessions of all to all, where no two nodes reach the same nodes
// and a node is relied on once it has its successors.
package symphony
