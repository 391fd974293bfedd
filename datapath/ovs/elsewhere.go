package ovs

import (
	"maps"
	"net/netip"

	"evio/datapath/filter"
)

// elsewhereFlows returns the flows that a bridge has for addresses that others hold, and
// the flows as ovs-ofctl reads them, by cookie. They are those that it would not have
// without.
func (m *memory) elsewhereFlows(addrs []netip.Addr) (map[string]entry, map[uint64][]byte, error) {
	if len(addrs) == 0 {
		return nil, nil, nil
	}
	b := m.bridge
	b.Elsewhere = nil
	without, _, err := want(Flows(b, m.ofports))
	if err != nil {
		return nil, nil, err
	}
	b.Elsewhere = addrs
	with, texts, err := want(Flows(b, m.ofports))
	if err != nil {
		return nil, nil, err
	}
	maps.DeleteFunc(with, func(k string, _ entry) bool { _, always := without[k]; return always })
	return with, texts, nil
}

// additive reports whether the flows of an address that others hold depend on no other such
// address: no rule asks for two.
func additive(g *filter.Guard) bool {
	send, _ := g.Stages()
	for _, s := range send {
		for _, r := range s {
			asked := 0
			for _, a := range []filter.Addresses{r.From, r.To, r.Target} {
				if a.Of == filter.Other {
					asked++
				}
			}
			if asked > 1 {
				return false
			}
		}
	}
	return true
}
