package evio

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net"
	"net/netip"

	"github.com/docker/go-plugins-helpers/network"
)

// dockerID is an ID like Docker's, the same for the same name.
func dockerID(name string) string {
	sum := sha256.Sum256([]byte(name))
	return hex.EncodeToString(sum[:])
}

// createNetwork does what docker network create does, for the overlay of that name.
func (e *engine) createNetwork(ctx context.Context, overlay string, subnet netip.Prefix) error {
	return e.call(ctx, "CreateNetwork", network.CreateNetworkRequest{
		NetworkID: dockerID(overlay),
		Options:   map[string]any{"com.docker.network.generic": map[string]any{"evio.overlay": overlay, "evio.gateway": "none"}},
		IPv4Data:  []*network.IPAMData{{AddressSpace: "LocalDefault", Pool: subnet.String()}},
	}, nil)
}

func (e *engine) deleteNetwork(ctx context.Context, overlay string) error {
	return e.call(ctx, "DeleteNetwork", network.DeleteNetworkRequest{NetworkID: dockerID(overlay)}, nil)
}

// join attaches a container with an address and a MAC address, as docker run does, and returns
// the interface that belongs into it.
func (e *engine) join(ctx context.Context, overlay string, addr netip.Prefix, mac net.HardwareAddr) (string, error) {
	id := dockerID(overlay + addr.String())
	create := network.CreateEndpointRequest{
		NetworkID: dockerID(overlay), EndpointID: id,
		Interface: &network.EndpointInterface{Address: addr.String(), MacAddress: mac.String()},
	}
	if err := e.call(ctx, "CreateEndpoint", create, nil); err != nil {
		return "", err
	}
	var joined network.JoinResponse
	err := e.call(ctx, "Join", network.JoinRequest{NetworkID: dockerID(overlay), EndpointID: id, SandboxKey: "/run/netns/" + id}, &joined)
	return joined.InterfaceName.SrcName, err
}

// leave undoes join.
func (e *engine) leave(ctx context.Context, overlay string, addr netip.Prefix) error {
	id := dockerID(overlay + addr.String())
	return errors.Join(
		e.call(ctx, "Leave", network.LeaveRequest{NetworkID: dockerID(overlay), EndpointID: id}, nil),
		e.call(ctx, "DeleteEndpoint", network.DeleteEndpointRequest{NetworkID: dockerID(overlay), EndpointID: id}, nil),
	)
}
