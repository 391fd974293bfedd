// Package driver is a libnetwork remote driver: it answers what Docker asks of a
// network plugin over HTTP on unix sockets, keeps Docker's networks and endpoints
// on disk, and has a [evio/driver/plane.Plane] make them real.
//
// Docker calls CreateNetwork once in a network's life and says nothing to a restarted
// plugin. So everything is stored before the reply goes out, and Start hands the
// stored objects to the plane again, in the background, while the sockets answer
// already. Docker also repeats calls, loses replies, and skips Leave: every call is
// idempotent, removing what is not there succeeds, and a call that fails or whose
// caller went away undoes what it did.
//
// What Docker removes while nobody listens is found by looking at its own lists, on
// a timer and with doubt; see [evio/driver/collector].
//
// No call waits for a peer, for signalling, or for Docker's own API, and each has a
// deadline of its own (20 s for CreateNetwork, 10 s for others), since Docker's is
// infinite after a restart of the engine.
//
// # Where what is
//
// Driver has Docker's calls: network.go, endpoint.go and join.go, which handler.go lets in
// and out. What it knows is in the table: table.go, gates.go for who may touch it,
// snapshot.go for what others want to know of it, and record.go for what is stored. What
// goes on beside the calls has a type each: restorer (restore.go), asker for what
// CreateNetwork does not say (asker.go), engineWatch for what the engine has forgotten
// (collect.go, engineversion.go, shadowed.go), and claimKeeper (claims.go). What users may
// ask for is in options.go, dockeroptions.go and ifname.go.
//
// # Locks
//
// A network has a gate: calls about its endpoints pass it together, calls about
// the network itself alone. An endpoint has a lock of its own. Both obey contexts
// and are held while the plane works. The table of all networks and endpoints owns the
// mutex that guards them, and never holds it over I/O. Nothing is held across another
// network's work.
//
// All methods of Driver may be called at once.
package driver
