package driver

import (
	"context"
	"fmt"
	"net/netip"

	dockernet "github.com/docker/docker/api/types/network"
	"github.com/docker/docker/client"
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
}

var _ Engine = (*DockerEngine)(nil)

// DockerEngine is the engine behind a unix socket. Each call connects anew if it
// must, so a restarted engine is found again.
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

// Close ends the connections.
func (e *DockerEngine) Close() error { return e.client.Close() }
