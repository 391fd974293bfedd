package driver

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	dockernet "github.com/docker/docker/api/types/network"
	"github.com/docker/docker/client"

	"evio/driver/collector"
)

// Engine is what the driver asks of Docker's API, never within a call of Docker:
// while the engine starts, it answers nobody.
type Engine interface {
	// NetworkName returns the name of the network with this ID. While the call
	// that creates the network has not been answered, there is no such network.
	NetworkName(ctx context.Context, id string) (string, error)
	// NetworkRanges returns the ranges from which Docker hands out addresses on the
	// network: the --ip-range of a subnet, or all of it.
	NetworkRanges(ctx context.Context, id string) ([]netip.Prefix, error)
	// Version returns the version of the engine.
	Version(ctx context.Context) (string, error)
	// List returns all networks, and the endpoints of those with the given IDs and of
	// all running containers. What it cannot list completely is an error.
	List(ctx context.Context, ids []string) (collector.List, error)
	// Plugins returns the names of all managed plugins, NAME:TAG.
	Plugins(ctx context.Context) ([]string, error)
}

var _ Engine = (*DockerEngine)(nil)

// DockerEngine is the engine behind a unix socket. Each call connects again if
// it must, so it finds an engine that was restarted.
type DockerEngine struct {
	client *client.Client
}

// NewDockerEngine returns the engine that listens on the unix socket. It does no
// I/O; the API's version is settled with the first call.
func NewDockerEngine(socket string) (*DockerEngine, error) {
	c, err := client.NewClientWithOpts(client.WithHost("unix://"+socket), client.WithAPIVersionNegotiation())
	if err != nil {
		return nil, fmt.Errorf("use Docker's API at %s: %w", socket, err)
	}
	return &DockerEngine{client: c}, nil
}

// NetworkName implements Engine.
func (e *DockerEngine) NetworkName(ctx context.Context, id string) (string, error) {
	n, err := e.client.NetworkInspect(ctx, id, dockernet.InspectOptions{})
	if err != nil {
		return "", fmt.Errorf("ask Docker for the name of network %s: %w", short(id), err)
	}
	if n.ID != id || n.Name == "" {
		return "", fmt.Errorf("ask Docker for the name of network %s: it answered with network %s", short(id), short(n.ID))
	}
	return n.Name, nil
}

// Ping finds out whether the API answers.
func (e *DockerEngine) Ping(ctx context.Context) error {
	_, err := e.client.Ping(ctx)
	return err
}

// List implements Engine. Endpoints are listed twice by Docker: with the network, by
// what its store says, and with the container, by what runs. One that is in either
// list is in this one: a container may have two endpoints of one network, one of
// them left by a crash, and then the first list hides one of the two.
func (e *DockerEngine) List(ctx context.Context, ids []string) (collector.List, error) {
	all, err := e.client.NetworkList(ctx, dockernet.ListOptions{})
	if err != nil {
		return collector.List{}, fmt.Errorf("ask Docker for its networks: %w", err)
	}
	l := collector.List{Endpoints: map[string]bool{}}
	for _, n := range all {
		l.Networks = append(l.Networks, collector.Network{ID: n.ID, Name: n.Name, Driver: n.Driver, Local: n.Scope == "local"})
		if !slices.Contains(ids, n.ID) {
			continue
		}
		details, err := e.client.NetworkInspect(ctx, n.ID, dockernet.InspectOptions{})
		if err != nil {
			return collector.List{}, fmt.Errorf("ask Docker for the endpoints of network %s: %w", short(n.ID), err)
		}
		if details.ID != n.ID {
			return collector.List{}, fmt.Errorf("ask Docker for the endpoints of network %s: it answered with network %s", short(n.ID), short(details.ID))
		}
		for _, c := range details.Containers {
			if c.EndpointID == "" {
				return collector.List{}, fmt.Errorf("ask Docker for the endpoints of network %s: one of them has no ID", short(n.ID))
			}
			l.Endpoints[c.EndpointID] = true
		}
	}
	running, err := e.client.ContainerList(ctx, container.ListOptions{})
	if err != nil {
		return collector.List{}, fmt.Errorf("ask Docker for its containers: %w", err)
	}
	for _, c := range running {
		if c.NetworkSettings == nil {
			continue
		}
		for _, n := range c.NetworkSettings.Networks {
			if n != nil {
				l.Endpoints[n.EndpointID] = true
			}
		}
	}
	return l, nil
}

// NetworkRanges implements Engine.
func (e *DockerEngine) NetworkRanges(ctx context.Context, id string) ([]netip.Prefix, error) {
	n, err := e.client.NetworkInspect(ctx, id, dockernet.InspectOptions{})
	if err != nil {
		return nil, fmt.Errorf("ask Docker for the ranges of network %s: %w", short(id), err)
	}
	if n.ID != id {
		return nil, fmt.Errorf("ask Docker for the ranges of network %s: it answered with network %s", short(id), short(n.ID))
	}
	ranges := []netip.Prefix{}
	for _, c := range n.IPAM.Config {
		text := c.IPRange
		if text == "" {
			text = c.Subnet
		}
		r, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("ask Docker for the ranges of network %s: it answered with %q", short(id), clip(text))
		}
		if r.Bits() > 0 { // all of the address space: Docker's null driver hands out nothing
			ranges = append(ranges, r.Masked())
		}
	}
	return ranges, nil
}

// Version implements Engine.
func (e *DockerEngine) Version(ctx context.Context) (string, error) {
	v, err := e.client.ServerVersion(ctx)
	if err != nil {
		return "", fmt.Errorf("ask Docker for its version: %w", err)
	}
	return v.Version, nil
}

// Plugins implements Engine.
func (e *DockerEngine) Plugins(ctx context.Context) ([]string, error) {
	all, err := e.client.PluginList(ctx, filters.Args{})
	if err != nil {
		return nil, fmt.Errorf("ask Docker for its plugins: %w", err)
	}
	names := make([]string, 0, len(all))
	for _, p := range all {
		names = append(names, p.Name)
	}
	return names, nil
}

// Close ends the connections.
func (e *DockerEngine) Close() error { return e.client.Close() }
