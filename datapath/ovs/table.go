package ovs

import (
	"context"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"

	openflow "github.com/digitalocean/go-openvswitch/ovs"
)

// applyFlows brings the flow table to what it should be and returns that. have is
// the table as remembered, or nil if it must be read.
func (s *Switch) applyFlows(ctx context.Context, b Bridge, ofports map[string]int, have map[string]entry) (map[string]entry, error) {
	wanted, flows, err := want(Flows(b, ofports))
	if err != nil {
		return nil, err
	}
	present := slices.Collect(maps.Values(have))
	if have == nil {
		if present, err = s.dump(ctx, b.Name); err != nil {
			return nil, err
		}
	}
	c := diff(present, wanted)
	if c.empty() {
		return wanted, nil
	}
	return wanted, s.bundle(ctx, b.Name, c, flows)
}

// dump reads the flows of a bridge.
func (s *Switch) dump(ctx context.Context, name string) ([]entry, error) {
	out, err := s.programs.run(ctx, nil, "ovs-ofctl", "--protocols="+openflow.ProtocolOpenFlow14, "--no-names",
		"dump-flows", s.programs.management(name))
	if err != nil {
		return nil, fmt.Errorf("read flows: %w", err)
	}
	return parseDump(out)
}

// bundle carries a change out, as a whole or not at all.
func (s *Switch) bundle(ctx context.Context, name string, c change, flows map[uint64]*openflow.Flow) error {
	// The library's errors cannot be unwrapped.
	var cause error
	client := openflow.New(
		openflow.Protocols([]string{openflow.ProtocolOpenFlow14}),
		openflow.Pipe(func(stdin io.Reader, cmd string, args ...string) ([]byte, error) {
			var out []byte
			// Our flows have numbers only. To accept names, ovs-ofctl asks for the
			// features of all tables, a megabyte, which takes it half its time.
			out, cause = s.programs.run(ctx, stdin, cmd, append([]string{"--no-names"}, args...)...)
			return out, cause
		}),
	)
	err := client.OpenFlow.AddFlowBundle(s.programs.management(name), func(tx *openflow.FlowTransaction) error {
		for _, cookie := range c.del {
			tx.Delete(&openflow.MatchFlow{Table: openflow.AnyTable, Cookie: cookie, CookieMask: math.MaxUint64})
		}
		for _, cookie := range c.add {
			tx.Add(flows[cookie])
		}
		return tx.Commit()
	})
	if cause != nil {
		err = cause
	}
	if err != nil {
		return fmt.Errorf("change flows: %w", err)
	}
	return nil
}
