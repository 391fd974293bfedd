package network

import (
	"testing"

	"evio/datapath/ovs"
	"evio/datapath/tap"
)

// What the operator forbids or the switch does not know is off, and the reason is kept.
func TestBoth(t *testing.T) {
	off := tap.Offloads{Why: "switched off"}
	for _, c := range []struct {
		let   tap.Offloads
		known ovs.Offloads
		want  tap.Offloads
	}{
		{tap.AllOffloads, ovs.Offloads{TCP: true, UDP: true}, tap.AllOffloads},
		{tap.AllOffloads, ovs.Offloads{TCP: true, Why: "no UDP"}, tap.Offloads{Checksums: true, TCP: true, Why: "no UDP"}},
		{tap.AllOffloads, ovs.Offloads{Why: "nothing"}, tap.Offloads{Why: "nothing"}},
		{tap.AllOffloads, ovs.Offloads{TCP: true, OneTag: true, Why: "no UDP"}, tap.Offloads{Checksums: true, TCP: true, OneTag: true, Why: "no UDP"}},
		{off, ovs.Offloads{TCP: true, UDP: true}, off},
		{off, ovs.Offloads{TCP: true, OneTag: true}, off},
		{off, ovs.Offloads{Why: "nothing"}, off},
	} {
		if got := both(c.let, c.known); got != c.want {
			t.Errorf("both of %+v and %+v: %+v, want %+v", c.let, c.known, got, c.want)
		}
	}
}
