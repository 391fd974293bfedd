package ovs

import (
	"context"
	"fmt"
)

// causes names what a frame that a table drops did wrong.
var causes = [tables]string{
	tableOrigin:  "wrong-mac-address",
	tableSource:  "wrong-source-address",
	tableClaim:   "wrong-neighbour-message",
	tableForward: "unknown-destination",
	tableDeliver: "not-local",
}

// Drops returns how many frames the bridge's flows dropped, by cause, since the
// flows were made.
func (s *Switch) Drops(ctx context.Context, bridge string) (map[string]uint64, error) {
	flows, err := s.dump(ctx, bridge)
	if err != nil {
		return nil, fmt.Errorf("count drops of %s: %w", bridge, err)
	}
	drops := make(map[string]uint64, tables)
	for _, f := range flows {
		if f.Actions == "drop" && f.Table < tables {
			drops[causes[f.Table]] += f.Packets
		}
	}
	return drops, nil
}
