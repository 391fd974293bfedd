package driver

import (
	"context"
	"fmt"
	"net/netip"

	dockernet "github.com/docker/docker/api/types/network"
)

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

// learnRanges finds out from which ranges Docker hands out addresses on a network, and
// hands them to the plane, which compares them with those of other sites. It serves a warning
// only, so it goes on quietly.
func (a *asker) learnRanges(ctx context.Context, n *dockerNetwork) {
	pace := pausesFrom(askFirst, askLimit)
	for {
		s := a.table.networkState(n)
		if s.gone || s.rec.Removed || s.rec.Ranged {
			return
		}
		ranges, err := a.askRanges(ctx, s.rec.ID)
		if err == nil {
			err = a.adoptRanges(ctx, n, ranges)
		}
		if err != nil && ctx.Err() == nil {
			a.log.WithField("network", s.rec.label()).WithError(err).Debug("the network's ranges are not known yet")
		}
		if err != nil && !pace.wait(ctx) {
			return
		}
	}
}

func (a *asker) askRanges(ctx context.Context, id string) ([]netip.Prefix, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	return a.engine.NetworkRanges(ctx, id)
}

// adoptRanges hands the ranges of a network to the plane and stores them. After an error
// it can be called again.
func (a *asker) adoptRanges(ctx context.Context, n *dockerNetwork, ranges []netip.Prefix) error {
	if err := n.gate.Acquire(ctx, whole); err != nil {
		return err
	}
	defer n.gate.Release(whole)
	s := a.table.networkState(n)
	if s.gone || s.rec.Removed {
		return nil
	}
	rec := s.rec
	rec.Ranges, rec.Ranged = ranges, true
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if err := a.plane.SetRanges(ctx, rec.ID, rec.Ranges); err != nil {
		return err
	}
	if err := a.store.Put(kindNetwork, rec.ID, rec); err != nil {
		return err
	}
	a.table.setRecord(n, rec)
	return nil
}
