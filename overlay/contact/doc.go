// Package contact makes the first contact between two nodes of an overlay: each
// end sends the other its session parameters in a signed envelope, by whatever
// carrier there is, until both have a session established with each other. There
// is no offer and no answer; both messages are of one kind, and either may come
// first, be lost, repeated or overtaken.
//
// An Envelope is what crosses the carrier. Sign makes one, Open checks one
// completely and To peeks at its receiver. A Contact is the state machine of one
// peer: events in, effects out. It holds no session, carrier, goroutine, clock or
// log: time is an argument and randomness is given.
//
// The package does not decide who is a member. Open proves that the sender owns
// the node ID it names; whoever calls Received has compared the key with the
// members of the overlay before.
//
// Functions may be called from any goroutine. A Contact belongs to one goroutine.
package contact
