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

	"evio/datapath/filter"
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

// sample is a guard with all that a guard may have.
func sample() *filter.Guard {
	self, other := filter.Addresses{Of: filter.Self}, filter.Addresses{Of: filter.Other}
	in := func(s string) filter.Addresses { return filter.Addresses{In: []netip.Prefix{netip.MustParsePrefix(s)}} }
	rule := func(v filter.Verdict, c filter.Cause, m filter.Match) filter.Rule {
		return filter.Rule{Match: m, Then: v, Cause: c}
	}
	station := filter.Stations{Of: filter.Self}
	return filter.New([]filter.Stage{
		{
			rule(filter.Next, filter.None, filter.Match{Source: station}),
			rule(filter.Ask, filter.Station, filter.Match{Source: filter.Stations{In: []filter.Range{{MAC: MAC{0, 0, 0x5e, 0, 1}, Mask: MAC{255, 255, 255, 255, 255}}}}}),
			rule(filter.Refuse, filter.Station, filter.Match{}),
		},
		{
			rule(filter.Refuse, filter.Malformed, filter.Match{Kind: filter.PriorityTag}),
			rule(filter.Pass, filter.None, filter.Match{Kind: filter.Tagged}),
			rule(filter.Refuse, filter.Malformed, filter.Match{Kind: filter.CutTag}),
			rule(filter.Refuse, filter.Malformed, filter.Match{Kind: filter.IPv6, Protocol: filter.Unseen}),
			rule(filter.Refuse, filter.Role, filter.Match{Kind: filter.IPv4, Protocol: filter.UDP, Fragment: filter.First, FromPort: 67, ToPort: filter.Unseen}),
			rule(filter.Next, filter.None, filter.Match{Kind: filter.ARP, Protocol: filter.ARPRequest, Link: station, From: in("0.0.0.0/32"), To: self}),
			rule(filter.Refuse, filter.Address, filter.Match{Kind: filter.ARP, From: in("10.0.0.0/8")}),
			rule(filter.Refuse, filter.Address, filter.Match{Kind: filter.IPv4, From: other}),
			rule(filter.Next, filter.None, filter.Match{Kind: filter.IPv6, Protocol: filter.ICMPv6, FromPort: 135, Hops: 255, Link: station, Target: self}),
			rule(filter.Ask, filter.Address, filter.Match{Kind: filter.IPv6, Protocol: filter.ICMPv6, FromPort: 136, Link: station, Target: in("fe80::/10")}),
		},
	}, filter.Stage{
		rule(filter.Pass, filter.None, filter.Match{Kind: filter.IPv4, To: self}),
		rule(filter.Refuse, filter.Destination, filter.Match{Kind: filter.IPv4, To: other}),
		rule(filter.Pass, filter.None, filter.Match{Kind: filter.IPv6, To: in("ff00::/8")}),
		rule(filter.Refuse, filter.Destination, filter.Match{Kind: filter.IPv6}),
	})
}

func example() (Bridge, map[string]int) {
	return Bridge{
			Name: "br", Network: "n", MTU: 1400, Guard: sample(), Elsewhere: addrs("10.0.0.9", "fd00::9"),
			Ports: []Port{
				{
					Name: "c1", Role: Container, MACs: []MAC{mac(1), mac(21)}, Addrs: addrs("10.0.0.1", "fd00::1"), Tag: 7,
					Taken: addrs("10.0.0.11", "10.0.0.1"), Lost: addrs("10.0.0.8", "fd00::8"),
				},
				{Name: "c2", Role: Container, MACs: []MAC{mac(2)}, Addrs: addrs("10.0.0.2")},
				{Name: "l1", Role: Link, MACs: []MAC{mac(11), mac(12), mac(1), {1}, {}}},
				{Name: "l2", Role: Link, MACs: []MAC{mac(12)}},
				{Name: "f", Role: Fabric},
				{Name: "a", Role: Asking},
				{Name: "broken", Role: Container, MACs: []MAC{mac(3)}},
			},
		}, map[string]int{
			"c1": 1, "c2": 2, "l1": 3, "l2": 4, "f": 5, "a": 6, "broken": -1,
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
	bare := Bridge{Name: "br", Network: "n", MTU: 1400, Guard: sample()}
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

// A container whose MAC address a peer owns has no part in anything, and the peer's link
// has.
func TestFlowsOfAMuteContainer(t *testing.T) {
	b, ofports := example()
	b.Ports[1].Mute = true
	b.Ports[3].MACs = []MAC{mac(2)}
	if err := b.Validate(); err != nil {
		t.Fatal(err)
	}
	after := lines(t, b, ofports)
	for _, want := range []string{
		"priority=100,in_port=4,dl_src=02:00:00:00:00:02,dl_dst=00:00:00:00:00:00/01:00:00:00:00:00,table=0,actions=resubmit(,11)",
		"priority=100,dl_dst=02:00:00:00:00:02,table=10,actions=output:4",
	} {
		if !strings.Contains(after, want) {
			t.Errorf("missing: %s", want)
		}
	}
	for line := range strings.SplitSeq(after, "\n") {
		if strings.Contains(line, "in_port=2,") || strings.Contains(line, "output:2") {
			t.Errorf("still there: %s", line)
		}
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
		"at most 15 bytes", "MTU 10: use 68", "no network", "no guard",
		"port c1: a container has unicast", "port c2: a container has unicast", "224.0.0.1 is no address",
		"fe80::1%eth0 is no address", "02:00:00:00:00:01 is that of port c3 as well", "f1 is the fabric port already",
		"f2: the name is used twice", `device name "x y"`, "unknown role 9",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("not said: %s\n%v", want, err)
		}
	}
}
