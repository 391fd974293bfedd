package ovs

import (
	"net/netip"
	"testing"

	"github.com/digitalocean/go-openvswitch/ovsdb"
	"github.com/google/go-cmp/cmp"

	"evio/datapath/netdev"
)

func TestCompare(t *testing.T) {
	right := func() memory {
		return memory{
			bridge: Bridge{Name: "br", Network: "n", Engine: "e", MTU: 1400, Ports: []Port{
				{Name: "c1", Role: Container}, {Name: "old", Role: Link}, // which never worked
			}},
			ofports: map[string]int{"c1": 1}, index: map[string]int{"c1": 10},
		}
	}
	devices := func() map[string]netdev.Device {
		return map[string]netdev.Device{"c1": {Name: "c1", Index: 10, MTU: 1400, Ready: true}}
	}
	tests := []struct {
		name    string
		memory  memory
		rows    []ovsdb.Row
		devices map[string]netdev.Device
		want    []Drift
	}{
		{name: "nothing", memory: right(), rows: rows(), devices: devices()},
		{name: "no bridge", memory: right(), devices: devices(), want: []Drift{{Kind: DriftBridge, Text: "the bridge was deleted"}}},
		{
			name: "settings", memory: right(), rows: changed(rows()), devices: devices(),
			want: []Drift{{Kind: DriftSettings, Text: "settings were changed: external_ids, controller"}},
		},
		{
			name: "no device", memory: right(), rows: rows(),
			want: []Drift{{Kind: DriftMissing, Port: "c1", Text: "the device of port c1 was deleted"}},
		},
		{
			name: "device down", memory: right(), rows: rows(),
			devices: map[string]netdev.Device{"c1": {Name: "c1", Index: 10, MTU: 1400}},
			want:    []Drift{{Kind: DriftDevice, Port: "c1", Text: "device c1 was set down, or its MTU or flags were changed"}},
		},
		{
			name: "another number, and a port that nobody wants", rows: rows(), devices: devices(),
			memory: memory{
				bridge:  Bridge{Name: "br", Network: "n", Engine: "e", MTU: 1400, Ports: right().bridge.Ports[:1]},
				ofports: map[string]int{"c1": 2}, index: map[string]int{"c1": 10},
			},
			want: []Drift{
				{Kind: DriftPort, Port: "c1", Text: "port c1 was changed"},
				{Kind: DriftPort, Port: "old", Text: "port old was added"},
			},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := test.memory.compare("netdev", interpret(test.rows), test.devices)
			if d := cmp.Diff(test.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

// TestCompareAddresses: addresses on a port that works and on the bridge itself, and on nothing else.
func TestCompareAddresses(t *testing.T) {
	m := memory{
		bridge:  Bridge{Name: "br", Ports: []Port{{Name: "c1"}, {Name: "new"}, {Name: "broken"}}},
		ofports: map[string]int{"c1": 1, "new": 2}, index: map[string]int{"c1": 10, "new": 11, "broken": 12},
	}
	devices := map[string]netdev.Device{
		"c1": {Name: "c1", Index: 10}, "new": {Name: "new", Index: 21}, "broken": {Name: "broken", Index: 12}, "br": {Name: "br", Index: 13}, "eth0": {Name: "eth0", Index: 2},
	}
	on := func(index int, texts ...string) map[int][]netip.Prefix {
		all := map[int][]netip.Prefix{}
		for _, text := range texts {
			all[index] = append(all[index], netip.MustParsePrefix(text))
		}
		return all
	}
	for _, c := range []struct {
		addresses map[int][]netip.Prefix
		want      []Drift
	}{
		{addresses: on(2, "192.0.2.1/24")},
		{addresses: on(21, "192.0.2.1/24")}, // another device than the one of the port
		{addresses: on(12, "192.0.2.1/24")},
		{addresses: on(10, "169.254.77.1/16", "fe80::1/64"), want: []Drift{
			{Kind: DriftAddress, Port: "c1", Text: "device c1 was given addresses of the host: 169.254.77.1/16 fe80::1/64"},
		}},
		{addresses: on(13, "fe80::1/64"), want: []Drift{
			{Kind: DriftAddress, Port: "br", Text: "device br was given addresses of the host: fe80::1/64"},
		}},
	} {
		if d := cmp.Diff(c.want, m.compareAddresses(devices, c.addresses)); d != "" {
			t.Error(d)
		}
	}
}

// What was found while somebody else worked on the bridge counts for nothing.
func TestDoubtNeedsTheSameApply(t *testing.T) {
	s := &Switch{bridges: map[string]*bridgeState{}}
	st, err := s.take(t.Context(), "br")
	if err != nil {
		t.Fatal(err)
	}
	st.memory = memory{bridge: Bridge{Name: "br"}, applied: map[string]entry{}, serial: 1}
	if len(s.memories()) != 0 {
		t.Error("a bridge is looked at while somebody works on it")
	}
	s.release("br", st)
	known := s.memories()
	if len(known) != 1 {
		t.Fatalf("%d bridges are known", len(known))
	}
	for name, change := range map[string]func(){
		"another Apply":   func() { st.serial++ },
		"another switch":  func() { s.generation.Add(1) },
		"a failed Apply":  func() { st.applied = nil },
		"somebody works":  func() { <-st.turn },
		"nobody knows it": func() { delete(s.bridges, "br") },
	} {
		before, generation := st.memory, s.generation.Load()
		change()
		if s.doubt(known[0]) {
			t.Errorf("%s: doubted", name)
		}
		st.memory = before
		s.generation.Store(generation)
		s.bridges["br"] = st
		if len(st.turn) == 0 {
			st.turn <- struct{}{}
		}
	}
	if !s.doubt(known[0]) || !st.doubted || len(s.memories()) != 0 {
		t.Error("not doubted, or looked at again before it was applied")
	}
}
