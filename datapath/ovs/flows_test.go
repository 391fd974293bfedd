package ovs

import (
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func addrs(s ...string) []netip.Addr {
	var out []netip.Addr
	for _, a := range s {
		out = append(out, netip.MustParseAddr(a))
	}
	return out
}

func mac(n byte) MAC { return MAC{2, 0, 0, 0, 0, n} }

func example() (Bridge, map[string]int) {
	return Bridge{
			Name: "br", Network: "n", MTU: 1400,
			Ports: []Port{
				{Name: "c1", Role: Container, MACs: []MAC{mac(1)}, Addrs: addrs("10.0.0.1", "10.0.0.11", "fd00::1")},
				{Name: "c2", Role: Container, MACs: []MAC{mac(2)}, Addrs: addrs("10.0.0.2")},
				{Name: "l1", Role: Link, MACs: []MAC{mac(11), mac(12), mac(1), {1}, {}}},
				{Name: "l2", Role: Link, MACs: []MAC{mac(12)}},
				{Name: "f", Role: Fabric},
				{Name: "broken", Role: Container, MACs: []MAC{mac(3)}},
			},
		}, map[string]int{
			"c1": 1, "c2": 2, "l1": 3, "l2": 4, "f": 5, "broken": -1,
		}
}

// lines renders flows one per line, as they are given to the switch.
func lines(t *testing.T, b Bridge, ofports map[string]int) string {
	t.Helper()
	var out []string
	for _, f := range Flows(b, ofports) {
		text, err := f.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, strings.Replace(string(text), ",idle_timeout=0", "", 1))
	}
	return strings.Join(out, "\n") + "\n"
}

func TestFlowsGolden(t *testing.T) {
	bare := Bridge{Name: "br", Network: "n", MTU: 1400}
	full, ofports := example()
	for name, b := range map[string]Bridge{"empty": bare, "full": full} {
		t.Run(name, func(t *testing.T) {
			file, got := filepath.Join("testdata", "flows-"+name+".txt"), lines(t, b, ofports)
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), got); d != "" {
				t.Errorf("run with -update if this is meant (-want +got):\n%s", d)
			}
		})
	}
}

func TestFlowsDoNotDependOnOrder(t *testing.T) {
	b, ofports := example()
	want := lines(t, b, ofports)
	slices.Reverse(b.Ports)
	for i := range b.Ports {
		b.Ports[i].MACs, b.Ports[i].Addrs = slices.Clone(b.Ports[i].MACs), slices.Clone(b.Ports[i].Addrs)
		slices.Reverse(b.Ports[i].MACs)
		slices.Reverse(b.Ports[i].Addrs)
	}
	if d := cmp.Diff(want, lines(t, b, ofports)); d != "" {
		t.Error(d)
	}
}

// TestNoFlowWithoutPort looks for what must never be in a table: forwarding that
// the switch decides itself, and admission without port or address.
func TestNoFlowWithoutPort(t *testing.T) {
	b, ofports := example()
	for _, f := range Flows(b, ofports) {
		text, err := f.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		e, err := parseFlow(string(text))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(e.Actions, "normal") || strings.Contains(e.Actions, "flood") || strings.Contains(e.Actions, "controller") {
			t.Errorf("the switch decides: %+v", e)
		}
		if e.Table == tableOrigin && e.Actions != "drop" && !strings.Contains(e.Match, "in_port=") {
			t.Errorf("admits any port: %+v", e)
		}
	}
}

func TestValidate(t *testing.T) {
	good, _ := example()
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	bad := Bridge{
		Name: "a-name-that-is-too-long", MTU: 10,
		Ports: []Port{
			{Name: "c1", Role: Container},
			{Name: "c2", Role: Container, MACs: []MAC{{1}}},
			{Name: "c3", Role: Container, MACs: []MAC{mac(1)}, Addrs: addrs("224.0.0.1")},
			{Name: "c4", Role: Container, MACs: []MAC{mac(1)}, Addrs: addrs("fe80::1%eth0")},
			{Name: "f1", Role: Fabric}, {Name: "f2", Role: Fabric}, {Name: "f2", Role: Link}, {Name: "x y", Role: 9},
		},
	}
	err := bad.Validate()
	if err == nil {
		t.Fatal("everything is wrong and nothing is said")
	}
	for _, want := range []string{
		"at most 15 bytes", "MTU 10: use 68", "no network",
		"port c1: a container has exactly one", "port c2: a container has exactly one", "224.0.0.1 is no address",
		"fe80::1%eth0 is no address", "02:00:00:00:00:01 is that of port c3 as well", "f1 is the fabric port already",
		"f2: the name is used twice", `device name "x y"`, "unknown role 9",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("not said: %s\n%v", want, err)
		}
	}
}
