// Package plane is the contract between the Docker side and what makes its networks
// real: what package driver asks of a [Plane], and the types that it is asked with.
// Package driver/network implements it, and driver/drivertest has a fake.
package plane

import (
	"context"
	"net/netip"
)

// Plane is the data and control plane beneath the Docker calls: bridges, veth
// pairs, flows, overlay nodes.
//
// Every method is idempotent, leaves nothing half made when it returns an error,
// and returns soon after its context ends. A method that needs something which is
// still coming up (the switch after a start) waits for it as long as the context
// lets it, and its error is one sentence that names what is missing. No method
// waits for a peer or for signalling.
//
// Methods may be called at once, with two promises: for one network, AddNetwork,
// SetOverlay, SetRanges and RemoveNetwork are called one at a time and never beside a
// call for one of its endpoints; for one endpoint there is one call at a time. Calls for
// different endpoints of one network do come at once.
type Plane interface {
	// AddNetwork brings the bridge up. The overlay is joined asynchronously when
	// Overlay is not empty.
	AddNetwork(ctx context.Context, spec NetworkSpec) error
	// SetOverlay joins the overlay of a network that was added without one.
	SetOverlay(ctx context.Context, networkID, overlay string) error
	// SetRanges says from which ranges Docker hands out addresses on a network that was
	// added without them.
	SetRanges(ctx context.Context, networkID string, ranges []netip.Prefix) error
	// RemoveNetwork takes the network down with all its endpoints. An unknown
	// network is no error: what bears its derived names is removed.
	RemoveNetwork(ctx context.Context, networkID string) error
	// CheckEndpoint returns the error of AddEndpoint if another engine is known to have
	// one of the addresses, and takes nothing: only AddEndpoint decides who has them.
	CheckEndpoint(ctx context.Context, spec EndpointSpec) error
	// AddEndpoint makes the veth pair, puts the host's end on the bridge, installs
	// the flows and announces the addresses.
	AddEndpoint(ctx context.Context, spec EndpointSpec) error
	// RemoveEndpoint undoes AddEndpoint. An unknown endpoint is no error. The
	// endpoint is no longer wanted from the call on, even when an error is
	// returned.
	RemoveEndpoint(ctx context.Context, networkID, endpointID string) error
	// Sweep makes the plane remove, from now on, what no network and no endpoint owns.
	// owners returns the networks that there are, each with its endpoints, joined or
	// not; it does not wait, and whatever a call is about is among them before the
	// plane hears of it and until the plane has removed it. Sweep does no I/O.
	Sweep(owners func() map[string][]string)
	// KeepClaims has the plane report from now on what containers have claimed by
	// themselves: kept is called with all claims of a container whenever they change, and
	// does not wait. KeepClaims is called once, before any network is added.
	KeepClaims(kept func(networkID, endpointID string, claims []Claim))
}

// Unavailable is the error of a method of a Plane that has not begun, because what it
// needs is not there: there is nothing to undo.
type Unavailable struct{ Err error }

// Error implements error.
func (u Unavailable) Error() string { return u.Err.Error() }

// Unwrap returns what is not there.
func (u Unavailable) Unwrap() error { return u.Err }
