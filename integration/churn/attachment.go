//go:build e2e

package churn

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/docker/go-plugins-helpers/network"

	"evio/integration/scenario"
)

// attachment is a container as far as the plugin hears of it.
type attachment struct {
	site            *scenario.Site
	network, number string
	addr            netip.Prefix
}

func attachments(s *scenario.Site, name string, count int) []attachment {
	var all []attachment
	for i := range count {
		all = append(all, attachment{s, s.NetworkID(name), fmt.Sprintf("%s-%d", name, i),
			netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 40, 200, byte(i + 1)}), 16)})
	}
	return all
}

// join is CreateEndpoint and Join; the time is that of Join.
func (a attachment) join(ctx context.Context) (time.Duration, error) {
	err := a.site.CallEvio(ctx, "CreateEndpoint", network.CreateEndpointRequest{
		NetworkID: a.network, EndpointID: a.number, Interface: &network.EndpointInterface{Address: a.addr.String()},
	}, nil)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	err = a.site.CallEvio(ctx, "Join", network.JoinRequest{NetworkID: a.network, EndpointID: a.number, SandboxKey: "/run/netns/" + a.number}, nil)
	return time.Since(began), err
}

// leave is Leave and DeleteEndpoint.
func (a attachment) leave(ctx context.Context) error {
	err := a.site.CallEvio(ctx, "Leave", network.LeaveRequest{NetworkID: a.network, EndpointID: a.number}, nil)
	if err != nil {
		return err
	}
	return a.site.CallEvio(ctx, "DeleteEndpoint", network.DeleteEndpointRequest{NetworkID: a.network, EndpointID: a.number}, nil)
}
