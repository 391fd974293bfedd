package ovs

import (
	"context"
	"fmt"
	"strings"
)

// sourceFields are the fields of a match that name who a frame is from.
var sourceFields = map[string]bool{"dl_src": true, "arp_spa": true, "nw_src": true, "ipv6_src": true}

// Sources returns how many frames containers have sent from each of their MAC addresses
// and addresses, as text, since the flows for that were made.
func (s *Switch) Sources(ctx context.Context, bridge string) (map[string]uint64, error) {
	flows, err := s.dump(ctx, bridge)
	if err != nil {
		return nil, fmt.Errorf("count sources of %s: %w", bridge, err)
	}
	return sources(flows), nil
}

func sources(flows []entry) map[string]uint64 {
	out := map[string]uint64{}
	for _, f := range flows {
		if f.Table < tableStage || f.Table >= tableAsk || f.Packets == 0 {
			continue
		}
		for field := range strings.SplitSeq(f.Match, ",") {
			if name, value, _ := strings.Cut(field, "="); sourceFields[name] {
				out[value] += f.Packets
			}
		}
	}
	return out
}
