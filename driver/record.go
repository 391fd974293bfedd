package driver

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/sirupsen/logrus"

	"evio/driver/plane"
	"evio/internal/store"
)

// Kinds of objects in the store.
const (
	kindNetwork  = "network"
	kindEndpoint = "endpoint"
)

// StoreConfig returns the settings of the store in a folder that a Driver can keep its
// objects in.
func StoreConfig(dir string, log *logrus.Entry) store.Config {
	return store.Config{
		Dir: dir, Kinds: []string{kindNetwork, kindEndpoint}, Log: log,
		Remedy: "create their networks anew or restart their containers",
	}
}

// networkRecord is a network as it is stored.
type networkRecord struct {
	ID         string         `json:"id"`
	Name       string         `json:"name,omitempty"`    // Docker's; empty until the engine has reported it
	Overlay    string         `json:"overlay,omitempty"` // empty while local
	Named      bool           `json:"named,omitempty"`   // Overlay was given as an option
	Gateway    string         `json:"gateway"`
	Encryption string         `json:"encryption"`
	Guard      string         `json:"guard"`
	MTU        int            `json:"mtu"`
	Internal   bool           `json:"internal,omitempty"`
	IfPrefix   string         `json:"interface_prefix,omitempty"` // of interfaces inside containers
	Subnets    []netip.Prefix `json:"subnets,omitempty"`
	Gateways   []netip.Addr   `json:"gateways,omitempty"` // of the subnets, as Docker has them
	// Ranges are those from which Docker hands out addresses, once the engine has
	// reported them (Ranged).
	Ranges []netip.Prefix `json:"ranges,omitempty"`
	Ranged bool           `json:"ranged,omitempty"`
	// Removed: Docker has removed the network, the plane has not yet.
	Removed bool `json:"removed,omitempty"`
}

func (r *networkRecord) validate() error {
	if r.ID == "" {
		return errors.New("network without an ID")
	}
	if r.Overlay != "" {
		if err := checkOverlayName(r.Overlay); err != nil {
			return fmt.Errorf("overlay: %w", err)
		}
	}
	if r.Gateway != plane.GatewayDocker && r.Gateway != plane.GatewayNone {
		return fmt.Errorf("gateway %q", clip(r.Gateway))
	}
	if r.Encryption != plane.EncryptionRequired {
		return fmt.Errorf("encryption %q", clip(r.Encryption))
	}
	if !slices.Contains(guardModes, r.Guard) {
		return fmt.Errorf("guard %q", clip(r.Guard))
	}
	if r.MTU < minMTU4 || r.MTU > maxMTU {
		return fmt.Errorf("mtu %d", r.MTU)
	}
	if r.IfPrefix != "" {
		if _, err := parseIfPrefix(r.IfPrefix); err != nil {
			return err
		}
	}
	for _, s := range slices.Concat(r.Subnets, r.Ranges) {
		if !s.IsValid() || s != s.Masked() {
			return fmt.Errorf("subnet or range %s", s)
		}
	}
	for _, a := range r.Gateways {
		if !isGateway(a) {
			return fmt.Errorf("gateway address %s", a)
		}
	}
	return nil
}

// sameRequest reports whether both come of the same request of Docker. Records of before
// have no gateways, so these are not compared.
func (r *networkRecord) sameRequest(o *networkRecord) bool {
	return r.Named == o.Named && (!r.Named || r.Overlay == o.Overlay) &&
		r.Gateway == o.Gateway && r.Encryption == o.Encryption && r.Guard == o.Guard && r.MTU == o.MTU && r.Internal == o.Internal && r.IfPrefix == o.IfPrefix &&
		slices.Equal(r.Subnets, o.Subnets)
}

func (r *networkRecord) spec() plane.NetworkSpec {
	return plane.NetworkSpec{
		ID: r.ID, Overlay: r.Overlay, MTU: r.MTU, Gateway: r.Gateway, Encryption: r.Encryption, Guard: r.Guard, Internal: r.Internal,
		Subnets: slices.Clone(r.Subnets), Gateways: slices.Clone(r.Gateways), Ranges: slices.Clone(r.Ranges),
	}
}

// label is how sentences call the network.
func (r *networkRecord) label() string {
	if r.Name != "" {
		return r.Name
	}
	return short(r.ID)
}

// macKey is what derived MAC addresses depend on. A default overlay's name is not
// used: it becomes known after the first containers may have started.
func (r *networkRecord) macKey() string {
	if r.Named {
		return r.Overlay
	}
	return r.ID
}

// endpointRecord is an endpoint as it is stored.
type endpointRecord struct {
	Network string       `json:"network"`
	ID      string       `json:"id"`
	MAC     hwAddr       `json:"mac"`
	Given   bool         `json:"given,omitempty"` // the user chose the MAC
	Addrs   []netip.Addr `json:"addresses,omitempty"`
	// Joined: Join was answered or was being worked on, Leave was not.
	Joined      bool   `json:"joined,omitempty"`
	HostIf      string `json:"host_interface"`
	ContainerIf string `json:"container_interface"`
	IfName      string `json:"interface_name,omitempty"` // inside the container, if the user chose it
	SandboxKey  string `json:"sandbox,omitempty"`
	// Claims are what the container has claimed by itself.
	Claims []claimRecord `json:"claims,omitempty"`
}

func (r *endpointRecord) validate() error {
	switch {
	case r.Network == "" || r.ID == "":
		return errors.New("endpoint without an ID")
	case r.MAC[0]&1 != 0 || r.MAC == hwAddr{}:
		return fmt.Errorf("mac %s", r.MAC)
	case !isInterfaceName(r.HostIf) || !isInterfaceName(r.ContainerIf):
		return fmt.Errorf("interfaces %q and %q", clip(r.HostIf), clip(r.ContainerIf))
	case r.IfName != "" && !isContainerIfName(r.IfName):
		return fmt.Errorf("interface name %q", clip(r.IfName))
	case len(r.Addrs) > 2:
		return fmt.Errorf("%d addresses", len(r.Addrs))
	case len(r.Claims) > maxClaims:
		return fmt.Errorf("%d claims", len(r.Claims))
	}
	for _, c := range r.Claims {
		if err := c.validate(); err != nil {
			return err
		}
	}
	for _, a := range r.Addrs {
		if !a.IsValid() || a.Zone() != "" {
			return fmt.Errorf("address %s", a)
		}
	}
	return nil
}

func (r *endpointRecord) sameRequest(o *endpointRecord) bool {
	return r.Given == o.Given && r.MAC == o.MAC && r.IfName == o.IfName && slices.Equal(r.Addrs, o.Addrs)
}

func (r *endpointRecord) shareAddress(o *endpointRecord) bool {
	return slices.ContainsFunc(r.Addrs, func(a netip.Addr) bool { return slices.Contains(o.Addrs, a) })
}

// key is the endpoint's ID in the store.
func (r *endpointRecord) key() string { return r.Network + "/" + r.ID }

func (r *endpointRecord) spec(adopt bool) plane.EndpointSpec {
	spec := plane.EndpointSpec{
		NetworkID: r.Network, ID: r.ID, MAC: r.MAC, Addrs: slices.Clone(r.Addrs),
		HostIf: r.HostIf, ContainerIf: r.ContainerIf, SandboxKey: r.SandboxKey, Adopt: adopt,
	}
	if adopt {
		spec.Claims = r.claims()
	}
	return spec
}

// isInterfaceName reports whether Linux takes the name as it is.
func isInterfaceName(name string) bool {
	if name == "" || len(name) > 15 || name == "." || name == ".." {
		return false
	}
	for _, c := range []byte(name) {
		if c <= ' ' || c >= 0x7f || c == '/' || c == ':' {
			return false
		}
	}
	return true
}

// hwAddr is a MAC address that is text in JSON.
type hwAddr [6]byte

func (a hwAddr) String() string { return net.HardwareAddr(a[:]).String() }

// MarshalText implements encoding.TextMarshaler.
func (a hwAddr) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (a *hwAddr) UnmarshalText(b []byte) error {
	hw, err := net.ParseMAC(string(b))
	if err != nil || len(hw) != len(a) {
		return fmt.Errorf("no MAC address: %q", clip(string(b)))
	}
	*a = hwAddr(hw)
	return nil
}

func decodeNetwork(id string, body []byte) (networkRecord, error) {
	r := networkRecord{Encryption: plane.EncryptionRequired, Guard: plane.GuardClaim} // of a network older than the options
	if err := json.Unmarshal(body, &r); err != nil {
		return r, err
	}
	if r.ID != id {
		return r, errors.New("network under another's ID")
	}
	return r, r.validate()
}

func decodeEndpoint(key string, body []byte) (endpointRecord, error) {
	var r endpointRecord
	if err := json.Unmarshal(body, &r); err != nil {
		return r, err
	}
	if r.key() != key {
		return r, errors.New("endpoint under another's ID")
	}
	return r, r.validate()
}
