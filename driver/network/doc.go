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
// it says of itself in status.go. Plane.keepClaims, which has a container's claims stored,
// is in claimer.go.
//
// A network's beginning and end are in network.go. Its other methods lie beside what they
// act on:
//
//   - endpoint.go: containers. advice.go: the address that a container may have when another
//     has the wanted one. asking.go: the asking port, and containers' numbers on it.
//   - bridge.go: what the bridge should be, which applier applies. repair.go: what it is
//     instead. sweep.go: which devices the network uses.
//   - fabric.go and broadcasts.go: frames of containers. admit.go: what is wrong with a
//     peer's frame.
//   - directory.go: what the directory says. secret.go: a peer's account, for guesses of the
//     overlay's secret.
//   - status.go, losses.go and counters.go: what it says of itself, which frames were lost
//     at devices, and frames that it did not carry.
//
// These parts own what they know, and are types of their own: links (link.go) to peers and
// frames from them, claimer (claimer.go, asking.go, claimstatus.go) for what containers
// claim by themselves, pendingFloods (pending.go), loops, overlaySecret (secret.go),
// knowledge (known.go) for what is kept over a restart, view (directory.go) for what the
// bridge has to know of the directory, repairs (repair.go), accepted, losses (losses.go)
// and drops (counters.go). The goroutines of a network are a group (group.go), which ends
// them together. What needs nothing of a network is in the packages below.
//
// sessions.go joins overlay and datapath.
package network
