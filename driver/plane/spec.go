package plane

import "net/netip"

// NetworkSpec is one Docker network as the plane has to make it.
type NetworkSpec struct {
	ID      string // Docker's, opaque
	Overlay string // empty: a network of this engine alone, for now or for good
	MTU     int    // bytes, of every interface on the bridge
	// Gateway is GatewayDocker or GatewayNone. Docker's own bridge, not the
	// plane, connects containers to the outside.
	Gateway    string
	Encryption string // EncryptionRequired
	Guard      string // GuardStrict, GuardClaim or GuardOpen
	Internal   bool
	Subnets    []netip.Prefix // masked; empty with Docker's null IPAM driver
	Gateways   []netip.Addr   // of the subnets, as Docker has them
	Ranges     []netip.Prefix // from which Docker hands out addresses, masked; empty: not known yet
	// Adopt is set after a restart of the plugin: what is there of the network's
	// bridge is kept, even when AddNetwork fails.
	Adopt bool
	// Endpoints go with Adopt: those whose containers may be running. They are on the
	// bridge before anything of it is changed, as by AddEndpoint. Those that cannot be
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
	// must be kept, not made again.
	Adopt bool
	// Claims go with Adopt: what the container has claimed by itself.
	Claims []Claim
}

// Claim is what a container has claimed by itself: an address behind a MAC address or,
// if Addr is not valid, the MAC address alone.
type Claim struct {
	Addr netip.Addr
	MAC  [6]byte
}

// Values of evio.gateway.
const (
	// GatewayDocker leaves outgoing traffic, and published ports, to a bridge that
	// Docker adds itself.
	GatewayDocker = "docker"
	// GatewayNone leaves containers without outgoing traffic.
	GatewayNone = "none"
)

// EncryptionRequired is the value of evio.encryption: frames leave the engine in
// records only, never in clear text.
const EncryptionRequired = "required"

// Values of evio.guard: what a container may say with addresses that Docker has not
// given it.
const (
	// GuardStrict lets a container speak with Docker's addresses only.
	GuardStrict = "strict"
	// GuardClaim lets it also take addresses that nobody holds, inside the subnets. It is
	// the default.
	GuardClaim = "claim"
	// GuardOpen lets it also route, bridge and serve DHCP.
	GuardOpen = "open"
)
