package ovs

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"

	openflow "github.com/digitalocean/go-openvswitch/ovs"
)

// applyFlows brings the flow table to what it should be and notes that. before is what
// was remembered; the table must be read if that has no flows.
func (s *Switch) applyFlows(ctx context.Context, b Bridge, before, now *memory) error {
	if err := s.meter(ctx, &b, before, now); err != nil {
		return err
	}
	now.bridge.unmetered = b.unmetered
	wanted, texts, err := want(Flows(withoutReach(b), now.ofports))
	if err != nil {
		return err
	}
	r := reachOf(b, now.ofports)
	now.applied, now.reach, now.local = wanted, r, newTable(withoutReach(b), now.ofports).local
	var del, add []byte
	change := func(c change) {
		for _, cookie := range c.del {
			del = appendDelete(del, cookie)
		}
		for _, cookie := range c.add {
			add = append(append(append(add, "add "...), texts[cookie]...), '\n')
		}
	}
	if len(before.applied) == 0 {
		if err := s.showFragments(ctx, b.Name); err != nil {
			return err
		}
	}
	if before.applied == nil {
		present, err := s.dump(ctx, b.Name)
		if err != nil {
			return err
		}
		all := r.entries(wanted)
		for _, e := range all {
			if texts[e.Cookie] == nil {
				texts[e.Cookie] = bytes.TrimSuffix(e.appendAdd(nil)[len("add "):], []byte("\n"))
			}
		}
		change(diff(present, all))
	} else {
		change(diff(slices.Collect(maps.Values(before.applied)), wanted))
		for m, from := range before.reach {
			if to := r[m]; to != from {
				del, add = move(del, add, m, from, to)
			}
		}
		for m, to := range r {
			if before.reach[m] == 0 {
				del, add = move(del, add, m, 0, to)
			}
		}
	}
	if len(del)+len(add) == 0 {
		return nil
	}
	return s.bundle(ctx, b.Name, append(del, add...))
}

// showFragments lets flows see the ports and types that first fragments have. A bridge
// that is new to the switch hides them.
func (s *Switch) showFragments(ctx context.Context, name string) error {
	_, err := s.programs.run(ctx, nil, "ovs-ofctl", "--protocols="+openflow.ProtocolOpenFlow14, "set-frags", s.programs.management(name), "nx-match")
	if err != nil {
		return fmt.Errorf("show fragments to the flows: %w", err)
	}
	return nil
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

// bundle carries changes out, each in a line, as a whole or not at all.
func (s *Switch) bundle(ctx context.Context, name string, lines []byte) error {
	// Our flows have numbers only. To accept names, ovs-ofctl asks for the features of all
	// tables, a megabyte, which takes it half its time.
	_, err := s.programs.run(ctx, bytes.NewReader(lines), "ovs-ofctl", "--no-names", "--bundle",
		"--protocols="+openflow.ProtocolOpenFlow14, "add-flow", s.programs.management(name), "-")
	if err != nil {
		return fmt.Errorf("change flows: %w", err)
	}
	return nil
}
