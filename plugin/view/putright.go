package view

import (
	"fmt"
	"maps"
	"slices"

	"evio/driver/status"
)

// putRight lists what others had changed or left behind and the plugin has put right.
func (p *page) putRight(d status.Document) {
	rows := [][]string{{"WHERE", "PUT RIGHT", "COUNT"}}
	add := func(where, what string, count uint64) {
		if count > 0 {
			rows = append(rows, []string{where, what, fmt.Sprint(count)})
		}
	}
	for _, n := range d.Networks {
		for _, kind := range slices.Sorted(maps.Keys(n.Repairs)) {
			add("network "+n.Label(), kind, n.Repairs[kind])
		}
	}
	add("Open vSwitch", "what no network owned", d.Switch.Swept)
	add("store", "networks that Docker has removed", d.Collected.Networks)
	add("store", "attachments that Docker has removed", d.Collected.Endpoints)
	if len(rows) == 1 {
		return
	}
	p.heading("Put right")
	p.table(rows)
}
