package ovs

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"regexp"
	"strconv"
	"strings"

	openflow "github.com/digitalocean/go-openvswitch/ovs"
)

const (
	// askRate is how many frames of one container the asking port gets in a second, and
	// askBurst how many at once: more than who takes an address over needs, with all of
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
	numbers := []uint16{1, 2, 3, 4} // of the first containers, which then need not wait for it
	for _, p := range b.Ports {
		if p.Role == Container && p.Tag != 0 {
			numbers = append(numbers, p.Tag)
		}
	}
	for _, number := range numbers {
		if s.unmetered.Load() || now.meters[number] {
			continue
		}
		now.meters[number] = true
		if err := s.addMeter(ctx, b.Name, number); err != nil {
			if ctx.Err() != nil {
				return err
			}
			s.unmetered.Store(true)
			s.log.WithError(err).Warn("Open vSwitch does not limit what containers ask this engine about: one that asks for much can keep the others waiting")
		}
	}
	b.unmetered = s.unmetered.Load()
	return nil
}

func (s *Switch) addMeter(ctx context.Context, bridge string, number uint16) error {
	_, err := s.programs.run(ctx, nil, "ovs-ofctl", "--protocols="+openflow.ProtocolOpenFlow14, "add-meter", s.programs.management(bridge),
		fmt.Sprintf("meter=%d,pktps,burst,stats,bands=type=drop,rate=%d,burst_size=%d", number, askRate, askBurst))
	if err != nil && !strings.Contains(err.Error(), "METER_EXISTS") {
		return fmt.Errorf("limit what a container asks about: %w", err)
	}
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
