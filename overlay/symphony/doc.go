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
// One kind of message carries all of it: an end's whole view of the pair, with a
// number that grows when the view changes and the number it has seen of the other's
// (see Message). Messages may be lost, repeated and overtake each other: a view is
// sent again until it is acknowledged, an older one than known changes nothing, and
// ends that hold a link compare views now and then, so that an end which has
// forgotten the other (its session bounced unnoticed) is told again.
//
// # Floods do not wait for agreement
//
// Neighbours, which says where a flood goes, is the links and also the next live
// nodes clockwise while the links to them are still being agreed upon. A relay that
// always knows the next node of its arc misses nobody, so no node is lost between
// its arrival and its first link.
//
// # What comes later
//
// NextHop is greedy routing with one-hop lookahead as a pure function. Joining by
// looking up one's own ID, and telling neighbours one's links, are not here yet.
package symphony
