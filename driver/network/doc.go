// Package network runs the networks of this engine: for each one an Open vSwitch
// bridge, a fabric port through which the bridge hands over what its flows do not
// decide, a node in the network's overlay, and a link port for every peer.
//
// [Plane] implements plane.Plane for the Docker side above; beneath it packages
// overlay and datapath, which do not know each other, meet here. Frames of
// containers never wait for a lock that is held over I/O.
//
// # Where what is
//
// Plane is in plane.go, with its watches in repair.go, sweep.go and secret.go, and what
// it says of itself in status.go.
//
// A network's beginning and end are in network.go. Its other methods lie beside what they
// act on: containers in endpoint.go, what the bridge should be in bridge.go (which applier
// applies), frames of containers in fabric.go and broadcasts.go, what the directory says
// in directory.go, and what is wrong with a frame in admit.go.
//
// These parts own what they know, and are types of their own: links (link.go) to peers and
// frames from them, claimer (claimer.go, asking.go, claimstatus.go) for what containers
// claim by themselves, pendingFloods (pending.go), loops, overlaySecret (secret.go),
// knowledge (known.go) for what is kept over a restart, view (directory.go) for what the
// bridge has to know of the directory, repairs (repair.go), accepted, losses (losses.go)
// and drops (counters.go). What needs nothing of a network is in the packages below.
//
// sessions.go joins overlay and datapath.
package network
