package ovs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"strconv"

	openflow "github.com/digitalocean/go-openvswitch/ovs"
)

const (
	// askRate is how many frames of one container the asking port gets in a second, and
	// askBurst how many at once: more than a container that takes an address over needs, with all of
	// what it sends until that is decided.
	askRate  = 100
	askBurst = 100
)

// meter gives each container that is asked about a meter of its own, which has the number
// of its tag. A switch without meters asks about everything.
func (s *Switch) meter(ctx context.Context, b *Bridge, before, now *memory) error {
	now.meters = map[uint16]bool{}
	if len(before.applied) > 0 {
		maps.Copy(now.meters, before.meters) // they stay when their containers leave
	}
	var missing []uint16
	for _, p := range b.Ports {
		if p.Role == Container && p.Tag != 0 && !now.meters[p.Tag] {
			now.meters[p.Tag] = true
			missing = append(missing, p.Tag)
		}
	}
	if len(missing) > 0 && !s.unmetered.Load() {
		if err := addMeters(ctx, s.programs.managementSocket(b.Name), missing); err != nil {
			if _, refused := errors.AsType[refusedMeter](err); !refused {
				return err
			}
			s.unmetered.Store(true)
			s.log.WithError(err).Warn("Open vSwitch does not limit what containers ask this engine about: one that asks for much can keep the others waiting")
		}
	}
	b.unmetered = s.unmetered.Load()
	return nil
}

var dropped = regexp.MustCompile(`\bpacket_count:(\d+)`)

// overAsked returns how many frames were beyond the limits of a bridge's containers.
func (s *Switch) overAsked(ctx context.Context, bridge string) (uint64, error) {
	out, err := s.programs.run(ctx, nil, "ovs-ofctl", "--protocols="+openflow.ProtocolOpenFlow14, "meter-stats", s.programs.management(bridge))
	if err != nil {
		return 0, fmt.Errorf("read meters: %w", err)
	}
	return sumMeters(out)
}

// sumMeters adds what the meters dropped, of the output of ovs-ofctl meter-stats.
func sumMeters(out []byte) (sum uint64, err error) {
	for _, m := range dropped.FindAllSubmatch(bytes.TrimSpace(out), -1) {
		n, err := strconv.ParseUint(string(m[1]), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read meters: %w", err)
		}
		sum += n
	}
	return sum, nil
}
