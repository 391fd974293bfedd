package ovs

import (
	"maps"
	"slices"
	"strings"
	"testing"

	openflow "github.com/digitalocean/go-openvswitch/ovs"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

const dumped = `OFPST_FLOW reply (OF1.4) (xid=0x2):
 cookie=0x1, duration=0.014s, table=0, n_packets=7, n_bytes=42, priority=200,dl_dst=01:80:c2:00:00:00/ff:ff:ff:ff:ff:f0 actions=drop
 cookie=0x2, duration=0.014s, table=1, n_packets=0, n_bytes=0, priority=100,udp,in_port=7,nw_src=0.0.0.0,tp_src=68,tp_dst=67 actions=resubmit(,2)
 cookie=0x0, duration=0.008s, table=5, n_packets=0, n_bytes=0, idle_timeout=10, hard_timeout=20, send_flow_rem reset_counts ip actions=CONTROLLER:10,learn(table=3,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[]),load:0x1->NXM_NX_REG0[],clone(output:3,output:4)
 cookie=0xffffffffffffffff, duration=8.008s, table=2, n_packets=0, n_bytes=0, idle_age=3, priority=10 actions=output:7,output:9
`

func TestParseDump(t *testing.T) {
	got, err := parseDump([]byte(dumped))
	if err != nil {
		t.Fatal(err)
	}
	want := []entry{
		{Table: 0, Priority: 200, Match: "dl_dst=01:80:c2:00:00:00/ff:ff:ff:ff:ff:f0", Actions: "drop", Cookie: 1, Packets: 7},
		{Table: 1, Priority: 100, Match: "in_port=7,nw_src=0.0.0.0,tp_dst=67,tp_src=68,udp", Actions: "resubmit(,2)", Cookie: 2},
		{
			Table: 5, Priority: 32768, Match: "hard_timeout=20,idle_timeout=10,ip,reset_counts,send_flow_rem",
			Actions: "CONTROLLER:10,learn(table=3,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[]),load:0x1->NXM_NX_REG0[],clone(output:3,output:4)",
		},
		{Table: 2, Priority: 10, Actions: "output:7,output:9", Cookie: 1<<64 - 1},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	for _, bad := range []string{"priority=1,ip", "priority=x actions=drop", "table=1, actions=", "xactions=drop"} {
		if e, err := parseDump([]byte(bad)); err == nil {
			t.Errorf("%q was read as %+v", bad, e)
		}
	}
}

// TestWhatIsAskedIsWhatIsShown compares spellings of the two directions.
func TestWhatIsAskedIsWhatIsShown(t *testing.T) {
	pairs := map[string]string{
		"priority=100,icmp6,in_port=1,icmpv6_type=136,nd_target=FD00::0:1,nd_tll=02:00:00:00:00:01,table=2,idle_timeout=0,actions=resubmit(,3)": " cookie=0x0, duration=1s, table=2, n_packets=0, n_bytes=0, priority=100,icmp6,in_port=1,icmp_type=136,nd_target=fd00::1,nd_tll=02:00:00:00:00:01 actions=resubmit(,3)",
		"priority=1,udp,udp_src=68,udp_dst=67,table=0,idle_timeout=0,actions=drop":                                                              "priority=1,udp,tp_src=68,tp_dst=67 actions=drop",
		"priority=1,ipv6,ipv6_src=::102:304,table=0,actions=drop":                                                                               "priority=1,ipv6,ipv6_src=::1.2.3.4 actions=drop",
	}
	for asked, shown := range pairs {
		a, err := parseFlow(asked)
		if err != nil {
			t.Fatal(err)
		}
		s, err := parseFlow(shown)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(a, s); d != "" {
			t.Error(d)
		}
	}
}

func wanted(t testing.TB, b Bridge, ofports map[string]int) map[string]entry {
	t.Helper()
	entries, flows, err := want(Flows(b, ofports))
	if err != nil {
		t.Fatal(err)
	}
	for c, f := range flows {
		if e, err := parseFlow(string(f)); err != nil || e.Cookie != c {
			t.Fatalf("flow %s has cookie %x: %v", f, c, err)
		}
	}
	return entries
}

func TestDiff(t *testing.T) {
	b, ofports := example()
	w := wanted(t, b, ofports)
	right := slices.Collect(maps.Values(w))
	if c := diff(right, w); !c.empty() {
		t.Errorf("a right table needs %+v", c)
	}
	if c := diff(nil, w); len(c.add) != len(w) || len(c.del) != 0 {
		t.Errorf("an empty table needs %d flows of %d, and %v deleted", len(c.add), len(w), c.del)
	}
	first := right[0]
	foreign := entry{Table: 0, Priority: 60000, Actions: "NORMAL"}
	copied := entry{Table: 9, Priority: 1, Actions: "drop", Cookie: first.Cookie}
	altered := first
	altered.Actions = "output:99"
	other := first
	other.Cookie = 77
	tests := []struct {
		name string
		have []entry
		want change
	}{
		{"foreign", append(slices.Clone(right), foreign), change{del: []uint64{0}}},
		{"copied cookie", append(slices.Clone(right), copied), change{del: []uint64{first.Cookie}, add: []uint64{first.Cookie}}},
		{"altered", append(slices.Clone(right[1:]), altered), change{add: []uint64{first.Cookie}}},
		{"other cookie", append(slices.Clone(right[1:]), other), change{del: []uint64{77}, add: []uint64{first.Cookie}}},
		{"missing", right[1:], change{add: []uint64{first.Cookie}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if d := cmp.Diff(test.want, diff(test.have, w), cmp.AllowUnexported(change{})); d != "" {
				t.Error(d)
			}
		})
	}
}

// carryOut does what the switch does with a bundle.
func carryOut(have []entry, c change, w map[string]entry) []entry {
	byCookie := map[uint64]entry{}
	for _, e := range w {
		byCookie[e.Cookie] = e
	}
	for _, d := range c.del {
		have = slices.DeleteFunc(have, func(e entry) bool { return e.Cookie == d })
	}
	for _, a := range c.add {
		have = slices.DeleteFunc(have, func(e entry) bool { return e.key() == byCookie[a].key() })
		have = append(have, byCookie[a])
	}
	return have
}

// TestDiffAlwaysArrives starts at tables in any disorder.
func TestDiffAlwaysArrives(t *testing.T) {
	b, ofports := example()
	w := wanted(t, b, ofports)
	keys := slices.Sorted(maps.Keys(w))
	rapid.Check(t, func(r *rapid.T) {
		var have []entry
		seen := map[string]bool{}
		for range rapid.IntRange(0, 40).Draw(r, "flows") {
			e := w[rapid.SampledFrom(keys).Draw(r, "flow")]
			switch rapid.IntRange(0, 4).Draw(r, "damage") {
			case 0:
				e.Actions = "output:9"
			case 1:
				e.Cookie = rapid.SampledFrom([]uint64{0, 5, w[keys[0]].Cookie, w[keys[1]].Cookie}).Draw(r, "cookie")
			case 2:
				e.Priority++
			case 3:
				e.Match += ",x"
			}
			if !seen[e.key()] {
				seen[e.key()] = true
				have = append(have, e)
			}
		}
		got := map[string]entry{}
		for _, e := range carryOut(have, diff(have, w), w) {
			got[e.key()] = e
		}
		if d := cmp.Diff(w, got); d != "" {
			r.Fatal(d)
		}
	})
}

func TestWantRefusesTwins(t *testing.T) {
	f := &openflow.Flow{Priority: 1, Actions: drop}
	if _, _, err := want([]*openflow.Flow{f, f}); err == nil || !strings.Contains(err.Error(), "two flows") {
		t.Error(err)
	}
	if _, _, err := want([]*openflow.Flow{{Priority: 1}}); err == nil {
		t.Error("a flow without actions passes")
	}
}

// FuzzFlowDump reads any text as a flow table; what it reads, written in the same
// words, must be read as the same.
func FuzzFlowDump(f *testing.F) {
	f.Add(dumped)
	f.Add("priority=100,icmp6,in_port=1,icmpv6_type=136,nd_target=fd00::1,table=2,idle_timeout=0,cookie=0x0000000000000001,actions=resubmit(,3)")
	f.Add(" cookie=0x3, table=0, priority=100,in_port=LOCAL,vlan_tci=0x1000/0x1000 actions=drop")
	f.Fuzz(func(t *testing.T, s string) {
		entries, err := parseDump([]byte(s))
		if err != nil {
			return
		}
		for _, e := range entries {
			again, err := parseFlow(strings.Join([]string{
				"cookie=" + hex(e.Cookie), "table=" + decimal(e.Table), "priority=" + decimal(e.Priority), e.Match,
			}, ",") + " actions=" + e.Actions)
			again.Packets = e.Packets
			if err != nil || again != e {
				t.Errorf("%+v was read again as %+v, %v", e, again, err)
			}
		}
	})
}
