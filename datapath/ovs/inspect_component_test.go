//go:build component

package ovs

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"testing"

	"evio/datapath/netdev"
)

// TestDriftIsRepaired changes a bridge by hand in many ways: each is found and named,
// and the next Apply puts it right.
func TestDriftIsRepaired(t *testing.T) {
	s := start(t)
	a, b := newBox(t, "a", 1), newBox(t, "b", 2)
	br := network("br0", a.port(), b.port())
	br.Engine = "engine"
	apply(t, s, br)
	mustPing(t, a, b)
	right := slices.Sorted(maps.Keys(readTable(t, s)))
	mgmt := s.programs.management("br0")
	ofctl := func(args ...string) { run(t, "ovs-ofctl", args...) }

	damage := []struct {
		name  string
		kinds []Kind
		do    func()
	}{
		{"port deleted", []Kind{DriftPort}, func() { vsctl(t, s, "del-port", "br0", a.host) }},
		{"port deleted and added", []Kind{DriftPort}, func() {
			vsctl(t, s, "del-port", "br0", a.host, "--", "add-port", "br0", a.host)
		}},
		{"port added", []Kind{DriftPort}, func() {
			run(t, "ip", "link", "add", "alien", "type", "veth", "peer", "name", "alien2")
			t.Cleanup(func() { _ = netdev.Delete("alien") })
			vsctl(t, s, "add-port", "br0", "alien")
		}},
		{"settings changed", []Kind{DriftSettings, DriftFlows}, func() {
			vsctl(t, s, "set", "Bridge", "br0", "fail_mode=standalone", "external_ids:evio=other", "--",
				"set", "Interface", "br0", "mtu_request=900")
		}},
		{"marks removed", []Kind{DriftSettings}, func() { vsctl(t, s, "clear", "Bridge", "br0", "external_ids") }},
		{"controller", []Kind{DriftSettings, DriftFlows}, func() { vsctl(t, s, "set-controller", "br0", "tcp:127.0.0.1:9") }},
		{"bridge deleted", []Kind{DriftBridge}, func() { vsctl(t, s, "del-br", "br0") }},
		{"flows deleted", []Kind{DriftFlows}, func() { ofctl("del-flows", mgmt) }},
		{"one flow deleted", []Kind{DriftFlows}, func() {
			ofctl("--strict", "del-flows", mgmt, "table="+strconv.Itoa(tableForward)+",priority=100,dl_dst=02:ee:00:00:00:01")
		}},
		{"foreign flows", []Kind{DriftFlows}, func() {
			ofctl("add-flow", mgmt, "table=0,priority=60000,actions=normal")
			ofctl("add-flow", mgmt, "table=0,priority=60001,idle_timeout=500,send_flow_rem,ip,actions=controller")
			e := readTable(t, s)[right[0]]
			ofctl("add-flow", mgmt, fmt.Sprintf("table=9,cookie=0x%x,actions=drop", e.Cookie))
		}},
		{"actions changed", []Kind{DriftFlows}, func() { ofctl("mod-flows", mgmt, "table=3,actions=drop") }},
		{"flow replaced", []Kind{DriftFlows}, func() {
			ofctl("add-flow", mgmt, "table=3,priority=100,dl_dst=02:ee:00:00:00:02,actions=drop")
		}},
		{"device down", []Kind{DriftDevice}, func() { run(t, "ip", "link", "set", a.host, "down") }},
		{"device with another MTU", []Kind{DriftDevice}, func() { run(t, "ip", "link", "set", b.host, "mtu", "600") }},
		{"nothing", nil, func() {}},
	}
	for _, d := range damage {
		d.do()
		found, err := s.Inspect(t.Context())
		if err != nil {
			t.Fatalf("%s: %v", d.name, err)
		}
		var kinds []Kind
		for _, f := range found.Drifted["br0"] {
			kinds = append(kinds, f.Kind)
			t.Logf("%s: %s", d.name, f.Text)
		}
		if !slices.Equal(kinds, d.kinds) {
			t.Errorf("%s: found %v, want %v", d.name, kinds, d.kinds)
		}
		apply(t, s, br)
		mustPing(t, a, b)
		if found, err := s.Inspect(t.Context()); err != nil || len(found.Drifted) != 0 {
			t.Errorf("%s: found %v, %v after it was put right", d.name, found.Drifted, err)
		}
		if ports, err := s.Ports(t.Context(), "br0"); err != nil || !slices.Equal(ports, []string{"ha", "hb"}) {
			t.Errorf("%s: ports %v, %v", d.name, ports, err)
		}
		if have := slices.Sorted(maps.Keys(readTable(t, s))); len(have) != len(right) {
			t.Errorf("%s: %d flows instead of %d", d.name, len(have), len(right))
		}
	}
}

// TestInspectKnowsDevices deletes the device of a port, and makes another in its place.
func TestInspectKnowsDevices(t *testing.T) {
	s := start(t)
	a, b := newBox(t, "a", 1), newBox(t, "b", 2)
	br := network("br0", a.port(), b.port())
	apply(t, s, br)
	for range 2 {
		if err := netdev.Delete(a.host); err != nil {
			t.Fatal(err)
		}
		found, err := s.Inspect(t.Context())
		if got := found.Drifted["br0"]; err != nil || len(got) != 1 || got[0].Kind != DriftMissing || got[0].Port != a.host {
			t.Errorf("found %v, %v", got, err)
		}
		a.plug(t)
		apply(t, s, br)
		mustPing(t, a, b)
	}
}
