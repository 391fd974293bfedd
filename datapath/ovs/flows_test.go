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

// A container has no part in what a peer owns, and the peer's link in all of it.
func TestFlowsOfLostAddresses(t *testing.T) {
	b, ofports := example()
	before := lines(t, b, ofports)
	b.Ports[0].Addrs, b.Ports[0].Lost = addrs("10.0.0.1", "fd00::1"), addrs("10.0.0.11", "fd00::11")
	b.Ports[1].Mute = true
	b.Ports[3].MACs = []MAC{mac(2)}
	if err := b.Validate(); err != nil {
		t.Fatal(err)
	}
	var gone, added []string
	after := lines(t, b, ofports)
	for line := range strings.Lines(before) {
		if !strings.Contains(after, line) {
			gone = append(gone, strings.TrimSpace(line))
		}
	}
	for line := range strings.Lines(after) {
		if !strings.Contains(before, line) {
			added = append(added, strings.TrimSpace(line))
		}
	}
	for _, want := range []string{
		"priority=120,ip,dl_dst=02:00:00:00:00:01,nw_dst=10.0.0.11,table=3,actions=drop",
		"priority=120,ip,dl_dst=02:00:00:00:00:01,nw_dst=10.0.0.11,table=4,actions=drop",
		"priority=120,ipv6,dl_dst=02:00:00:00:00:01,ipv6_dst=fd00::11,table=3,actions=drop",
		"priority=120,ipv6,dl_dst=02:00:00:00:00:01,ipv6_dst=fd00::11,table=4,actions=drop",
		"priority=100,in_port=4,dl_src=02:00:00:00:00:02,dl_dst=00:00:00:00:00:00/01:00:00:00:00:00,table=0,actions=resubmit(,4)",
		"priority=100,dl_dst=02:00:00:00:00:02,table=3,actions=output:4",
	} {
		if !slices.Contains(added, want) {
			t.Errorf("missing: %s\nadded: %s", want, strings.Join(added, "\n"))
		}
	}
	for line := range strings.SplitSeq(after, "\n") {
		if strings.Contains(line, "in_port=2,") || strings.Contains(line, "output:2") || strings.Contains(line, "in_port=1,") && strings.Contains(line, "10.0.0.11") {
			t.Errorf("still there: %s", line)
		}
	}
	if len(gone) == 0 {
		t.Error("nothing is gone")
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
