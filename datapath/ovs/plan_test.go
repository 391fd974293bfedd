package ovs

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/digitalocean/go-openvswitch/ovsdb"
	"github.com/google/go-cmp/cmp"
)

func hex(n uint64) string    { return "0x" + strconv.FormatUint(n, 16) }
func decimal(n int) string   { return strconv.Itoa(n) }
func ids(kv ...string) []any { return []any{"map", pairs(kv)} }

func pairs(kv []string) []any {
	var out []any
	for i := 0; i < len(kv); i += 2 {
		out = append(out, []any{kv[i], kv[i+1]})
	}
	return out
}

func uuid(s string) []any { return []any{"uuid", s} }

// rows is what the database sends for a bridge with a good port c1, a port old
// that is no longer wanted, and a foreign bridge.
func rows() []ovsdb.Row {
	empty := []any{"set", []any{}}
	return []ovsdb.Row{
		{"ovs_version": "3.1.0"},
		{
			"name": "br", "external_ids": ids("evio", "n", "evio-engine", "e"), "controller": empty, "fail_mode": "secure", "datapath_type": "netdev",
			"ports": []any{"set", []any{uuid("1"), uuid("2"), uuid("3")}},
		},
		{"name": "theirs", "external_ids": ids(), "controller": uuid("9"), "fail_mode": empty, "datapath_type": "", "ports": uuid("4")},
		{"_uuid": uuid("1"), "name": "br"},
		{"_uuid": uuid("2"), "name": "c1"},
		{"_uuid": uuid("3"), "name": "old"},
		{"_uuid": uuid("4"), "name": "theirs"},
		{"name": "br", "ofport": 65534.0, "ofport_request": empty, "mtu_request": 1400.0, "external_ids": ids(), "error": empty},
		{
			"name": "c1", "ofport": 1.0, "ofport_request": 1.0, "mtu_request": empty,
			"external_ids": ids("evio", "container", "evio-index", "10"), "error": empty,
		},
		{
			"name": "old", "ofport": -1.0, "ofport_request": 2.0, "mtu_request": empty,
			"external_ids": ids("evio", "link", "evio-index", "11"), "error": "no such device",
		},
	}
}

// changed has a controller and the mark of another engine on bridge br.
func changed(rows []ovsdb.Row) []ovsdb.Row {
	rows[1]["controller"], rows[1]["external_ids"] = uuid("9"), ids("evio", "n", "evio-engine", "other")
	return rows
}

func TestInterpret(t *testing.T) {
	got := interpret(rows())
	want := &observed{
		version: "3.1.0",
		bridges: map[string]bridge{
			"br":     {network: "n", engine: "e", ours: true, failMode: "secure", datapath: "netdev", ports: []string{"c1", "old"}},
			"theirs": {controlled: true},
		},
		interfaces: map[string]iface{
			"br":  {ofport: 65534, mtu: 1400},
			"c1":  {ofport: 1, requested: 1, role: "container", index: "10"},
			"old": {ofport: -1, requested: 2, role: "link", index: "11", problem: "no such device"},
		},
	}
	if d := cmp.Diff(want, got, cmp.AllowUnexported(observed{}, bridge{}, iface{})); d != "" {
		t.Error(d)
	}
}

func TestPlan(t *testing.T) {
	c1 := Port{Name: "c1", Role: Container, MACs: []MAC{mac(1)}}
	c2 := Port{Name: "c2", Role: Container, MACs: []MAC{mac(2)}}
	tests := []struct {
		name  string
		ports []Port
		index map[string]int
		rows  []ovsdb.Row
		check string
		last  int
		want  []string
		fresh bool
	}{
		{name: "nothing to do but remove", ports: []Port{c1}, index: map[string]int{"c1": 10}, rows: rows(), want: []string{"--if-exists del-port br old"}},
		{
			name: "new bridge", ports: []Port{c1}, index: map[string]int{"c1": 10}, fresh: true,
			want: []string{
				"add-br br", `set Bridge br fail_mode=secure datapath_type=netdev external_ids:evio="n" external_ids:evio-engine="e"`,
				"set Interface br mtu_request=1400", "add-port br c1",
				`set Interface c1 ofport_request=1 external_ids:evio="container" external_ids:evio-index="10"`,
			},
		},
		{
			name: "number not given again", ports: []Port{c1, c2}, index: map[string]int{"c1": 10, "c2": 12}, rows: rows(), last: 7,
			want: []string{
				"--if-exists del-port br old", "add-port br c2",
				`set Interface c2 ofport_request=8 external_ids:evio="container" external_ids:evio-index="12"`,
			},
		},
		{
			name: "numbers in use are passed over", ports: []Port{c1, c2}, index: map[string]int{"c1": 10, "c2": 12}, rows: rows(), last: maxOfport,
			want: []string{
				"--if-exists del-port br old", "add-port br c2",
				`set Interface c2 ofport_request=3 external_ids:evio="container" external_ids:evio-index="12"`,
			},
		},
		{
			name: "device replaced", ports: []Port{c1}, index: map[string]int{"c1": 20}, rows: rows(),
			want: []string{
				"--if-exists del-port br old",
				`set Interface c1 ofport_request=3 external_ids:evio="container" external_ids:evio-index="20"`,
			},
		},
		{
			name: "settings changed", ports: []Port{c1}, index: map[string]int{"c1": 10}, rows: changed(rows()),
			want: []string{
				`set Bridge br fail_mode=secure datapath_type=netdev external_ids:evio="n" external_ids:evio-engine="e"`,
				"del-controller br", "--if-exists del-port br old",
			},
		},
		{name: "device gone", ports: []Port{c1}, index: map[string]int{"c1": 0}, rows: rows(), want: []string{"--if-exists del-port br c1", "--if-exists del-port br old"}},
		{
			name: "check", ports: []Port{c1}, index: map[string]int{"c1": 10}, rows: rows(), check: "x",
			want: []string{
				`set Bridge br fail_mode=secure datapath_type=netdev external_ids:evio="n" external_ids:evio-engine="e" external_ids:evio-check="x"`,
				"--if-exists del-port br old",
			},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := Bridge{Name: "br", Network: "n", Engine: "e", MTU: 1400, Ports: test.ports}
			got, err := plan(b, "netdev", interpret(test.rows), test.index, test.last, test.check)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(strings.Join(test.want, " -- "), strings.Join(got.args, " ")); d != "" {
				t.Error(d)
			}
			if got.created != test.fresh {
				t.Errorf("created %v", got.created)
			}
		})
	}
	if _, err := plan(Bridge{Name: "theirs"}, "netdev", interpret(rows()), nil, 0, ""); err == nil {
		t.Error("a foreign bridge is taken")
	}
}

// FuzzRows gives the interpretation any JSON.
func FuzzRows(f *testing.F) {
	for _, r := range rows() {
		b, err := json.Marshal([]ovsdb.Row{r})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte(`[{"name":["set",[1,["uuid"]]],"fail_mode":1,"ports":["set",7],"external_ids":["map",[[1],[1,2],["a","b"]]]}]`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var rows []ovsdb.Row
		if json.Unmarshal(b, &rows) != nil {
			return
		}
		o := interpret(rows)
		for name, b := range o.bridges {
			if slices.Contains(b.ports, name) {
				t.Errorf("bridge %q has its own device among its ports", name)
			}
		}
		wanted := Bridge{Name: "br", Network: "n", MTU: 1400}
		if _, err := plan(wanted, DatapathNetdev, o, nil, 0, ""); (err != nil) != (hasKey(o.bridges, "br") && !o.bridges["br"].ours) {
			t.Errorf("plan: %v, bridges %+v", err, o.bridges)
		}
	})
}

func hasKey[V any](m map[string]V, k string) bool { _, ok := m[k]; return ok }
