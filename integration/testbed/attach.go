package testbed

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/docker/go-plugins-helpers/network"
)

// EvioNetwork is a network at a site whose evio runs without an engine.
type EvioNetwork struct {
	Name    string            // of the network, and of its overlay unless Options name another
	Subnets []netip.Prefix    // the same at every site
	Options map[string]string // as with docker network create -o
}

// dockerID is an ID like Docker's, the same for the same names.
func dockerID(names ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(names, "\x00")))
	return hex.EncodeToString(sum[:])
}

// NetworkID is the ID that Docker would have given to an EvioNetwork of that name.
func (s *Site) NetworkID(name string) string { return dockerID(s.name, name) }

// CreateEvioNetwork makes a network as docker network create does.
func (s *Site) CreateEvioNetwork(ctx context.Context, n EvioNetwork) error {
	options := map[string]any{"evio.overlay": n.Name, "evio.gateway": "none"}
	for key, value := range n.Options {
		options[key] = value
	}
	r := network.CreateNetworkRequest{
		NetworkID: s.NetworkID(n.Name),
		Options:   map[string]any{"com.docker.network.generic": options},
	}
	for _, p := range n.Subnets {
		data := &network.IPAMData{AddressSpace: "LocalDefault", Pool: p.String()}
		if p.Addr().Is4() {
			r.IPv4Data = append(r.IPv4Data, data)
		} else {
			r.IPv6Data = append(r.IPv6Data, data)
			r.Options["com.docker.network.enable_ipv6"] = true
		}
	}
	return s.CallEvio(ctx, "CreateNetwork", r, nil)
}

// RemoveEvioNetwork removes a network that has no attachment any more.
func (s *Site) RemoveEvioNetwork(ctx context.Context, name string) error {
	return s.CallEvio(ctx, "DeleteNetwork", network.DeleteNetworkRequest{NetworkID: s.NetworkID(name)}, nil)
}

// Attach makes a network namespace of the site, as a container's, and attaches it to a network with
// the addresses, at most one of a family, on its eth0.
func (s *Site) Attach(ctx context.Context, netName, namespace string, addrs ...netip.Prefix) error {
	_, err := s.AttachTimed(ctx, netName, namespace, addrs...)
	return err
}

// AttachTimed is Attach, and returns how long evio took to answer Join.
func (s *Site) AttachTimed(ctx context.Context, netName, namespace string, addrs ...netip.Prefix) (time.Duration, error) {
	fail := func(err error) (time.Duration, error) {
		return 0, fmt.Errorf("attach %s to %s: %w", namespace, netName, err)
	}
	networkID, endpointID := s.NetworkID(netName), dockerID(s.name, netName, namespace)
	create := network.CreateEndpointRequest{NetworkID: networkID, EndpointID: endpointID, Interface: &network.EndpointInterface{}}
	script := []string{"ip netns add $2", "ip link set $1 netns $2", "ip -n $2 link set $1 name eth0"}
	for _, a := range addrs {
		if a.Addr().Is4() {
			create.Interface.Address = a.String()
		} else {
			create.Interface.AddressIPv6 = a.String()
		}
		script = append(script, "ip -n $2 address add "+a.String()+" dev eth0"+nodad(a))
	}
	var endpoint network.CreateEndpointResponse
	if err := s.CallEvio(ctx, "CreateEndpoint", create, &endpoint); err != nil {
		return fail(err)
	}
	join := network.JoinRequest{NetworkID: networkID, EndpointID: endpointID, SandboxKey: "/run/netns/" + namespace}
	var joined network.JoinResponse
	began := time.Now()
	if err := s.CallEvio(ctx, "Join", join, &joined); err != nil {
		return fail(err)
	}
	took := time.Since(began)
	if endpoint.Interface != nil && endpoint.Interface.MacAddress != "" {
		script = append(script, "ip -n $2 link set eth0 address "+endpoint.Interface.MacAddress)
	}
	script = append(script, "ip -n $2 link set lo up", "ip -n $2 link set eth0 up")
	if _, err := s.Run(ctx, "sh", "-euc", strings.Join(script, "\n"), "attach", joined.InterfaceName.SrcName, namespace); err != nil {
		return fail(err)
	}
	return took, nil
}

// Detach removes the namespace of Attach, as a container that ends.
func (s *Site) Detach(ctx context.Context, netName, namespace string) error {
	networkID, endpointID := s.NetworkID(netName), dockerID(s.name, netName, namespace)
	if err := s.CallEvio(ctx, "Leave", network.LeaveRequest{NetworkID: networkID, EndpointID: endpointID}, nil); err != nil {
		return err
	}
	if err := s.CallEvio(ctx, "DeleteEndpoint", network.DeleteEndpointRequest{NetworkID: networkID, EndpointID: endpointID}, nil); err != nil {
		return err
	}
	_, err := s.Run(ctx, "ip", "netns", "delete", namespace)
	return err
}

// InNamespace runs a command in a namespace of Attach.
func (s *Site) InNamespace(ctx context.Context, namespace string, args ...string) (string, error) {
	return s.Run(ctx, append([]string{"nsenter", "--net=/run/netns/" + namespace}, args...)...)
}
