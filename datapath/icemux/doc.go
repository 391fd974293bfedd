// Package icemux shares one UDP socket among the ICE agents of all sessions.
//
// It implements ice.UDPMux. A STUN request goes to the agent whose local ufrag
// its USERNAME begins with, a response to whoever sent the request with its
// transaction ID; the address a message comes from never decides whose it is.
// Two overlays of the same two engines have the same addresses at both ends, so
// a mux that routes by addresses would hand one overlay's checks to the other.
//
// The agents gather host candidates only. Which addresses those are, Hosts
// tells; which address a NAT shows for them, Reflexive asks of STUN servers
// once for all sessions, from each host address, through the same socket. A
// server-reflexive candidate has its host candidate as base and adds nothing
// to an agent's own checks (RFC 8445 section 6.1.2.4), so the agent never
// hears of it; the session sends it to the peer.
//
// A relayed candidate comes later, if at all, and an agent gathers once. So it gets
// an agent of its own, with the same ufrag and password, which takes the relayed
// address for a host candidate: TURNView. The peer cannot tell the two from one.
//
// An agent takes every address that a request comes from for a candidate of its
// peer and checks it, and whoever sees one request can replay it from forged
// addresses. So each agent hears the candidates that its peer has told and a few
// other addresses; a request from any further one is dropped. An address gets one of
// these places only with a request that is made with the agent's password: who does
// not know the session's parameters takes no place away from the peer.
//
// Receive is called by the readers of socket and allocations; everything else may be called by
// any goroutine at any time. Tables are bounded by what our own agents open; of
// what arrives from the network only the addresses of requests are kept, up to
// a bound for each agent and as long as the agent works.
package icemux
