package ovs

import (
	"context"
	"fmt"

	"evio/datapath/filter"
)

// causes names what a frame that a table drops did wrong.
var causes = map[int]string{
	tableOrigin:                           "source-not-owned",
	tableAsk:                              "address-not-owned",
	tableForward:                          "unknown-destination",
	tableDeliver:                          "not-local",
	tableRefuse + int(filter.Malformed):   "malformed",
	tableRefuse + int(filter.Station):     "source-not-owned",
	tableRefuse + int(filter.Address):     "address-not-owned",
	tableRefuse + int(filter.Role):        "router-or-dhcp",
	tableRefuse + int(filter.Destination): "not-its-address",
	tables:                                "asked-too-often", // of meters
}

// Drops returns how many frames the bridge's flows dropped, by cause, since the
// flows were made.
func (s *Switch) Drops(ctx context.Context, bridge string) (map[string]uint64, error) {
	flows, err := s.dump(ctx, bridge)
	if err != nil {
		return nil, fmt.Errorf("count drops of %s: %w", bridge, err)
	}
	over, err := s.overAsked(ctx, bridge)
	if err != nil && !s.unmetered.Load() {
		return nil, fmt.Errorf("count drops of %s: %w", bridge, err)
	}
	drops := make(map[string]uint64, len(causes))
	for _, f := range flows {
		if cause, ok := causes[f.Table]; ok && f.Actions == "drop" {
			drops[cause] += f.Packets
		}
	}
	drops[causes[tables]] = over
	return drops, nil
}
