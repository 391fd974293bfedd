package driver

import (
	"context"
	"net/netip"
)

// Plane is the data and control plane beneath the Docker calls: bridges, veth
// pairs, flows, overlay nodes. driver/network implements it, drivertest fakes it.
//
// Every method is idempotent, leaves nothing half made when it returns an error,
// and returns soon after its context ends. A method that needs something which is
// still coming up (the switch after a start) waits for it as long as the context
// lets it, and its error is one sentence that names what is missing. No method
// waits for a peer or for signalling.
//
// Methods may be called at once, with two promises: for one network, AddNetwork,
// SetOverlay, SetRanges and RemoveNetwork are called one at a time and never beside a call for
// one of its endpoints; for one endpoint there is one call at a time. Calls for
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
	// endpoint is not wanted any more from the call on, also when an error is
	// returned.
	RemoveEndpoint(ctx context.Context, networkID, endpointID string) error
	// Sweep has the plane remove from now on what no network and no endpoint owns.
	// owners returns the networks that there are, each with its endpoints, joined or
	// not; it does not wait, and whatever a call is about is among them before the
	// plane hears of it and until the plane has removed it. Sweep does no I/O.
	Sweep(owners func() map[string][]string)
	// KeepClaims has the plane tell from now on what containers have claimed by
	// themselves, each time all that one of them has; kept does not wait. It is called
	// once, before any network is added.
	KeepClaims(kept func(networkID, endpointID string, claims []Claim))
}

// Unavailable is the error of a method of a Plane that has not begun, because what it
// needs is not there: there is nothing to undo.
type Unavailable struct{ Err error }

// Error implements error.
func (u Unavailable) Error() string { return u.Err.Error() }

// Unwrap returns what is not there.
func (u Unavailable) Unwrap() error { return u.Err }

// NetworkSpec is one Docker network as the plane has to make it.
type NetworkSpec struct {
	ID      string // Docker's, opaque
	Overlay string // empty: a network of this engine alone, for now or for good
	MTU     int    // bytes, of every interface on the bridge
	// Gateway is GatewayDocker or GatewayNone. Docker's own bridge, not the
	// plane, gives the way out.
	Gateway    string
	Encryption string // EncryptionRequired
	Guard      string // GuardStrict, GuardClaim or GuardOpen
	Internal   bool
	Subnets    []netip.Prefix // masked; empty with Docker's null IPAM driver
	Gateways   []netip.Addr   // of the subnets, as Docker has them
	Ranges     []netip.Prefix // from which Docker hands out addresses, masked; empty: not known yet
	// Adopt is set after a restart of the plugin: what is there of the network's
	// bridge is kept, also when AddNetwork fails.
	Adopt bool
	// Endpoints go with Adopt: those whose containers may be running. They are on the
	// bridge before anything of it is changed, as by AddEndpoint. Such that cannot be
	// adopted are left out.
	Endpoints []EndpointSpec
}

// EndpointSpec is one container's attachment to a network.
type EndpointSpec struct {
	NetworkID, ID string
	MAC           [6]byte
	Addrs         []netip.Addr // none, or at most one per family
	// HostIf and ContainerIf name the ends of the veth pair, ≤ 15 bytes. Docker
	// moves ContainerIf into the sandbox after the call.
	HostIf, ContainerIf string
	SandboxKey          string
	// Adopt is set after a restart of the plugin for a container that may be
	// running: the veth pair exists, its far end is inside the container, and it
	// must be kept, not made anew.
	Adopt bool
	// Claims go with Adopt: what the container has claimed by itself.
	Claims []Claim
}
