package admission

import (
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/gopacket/gopacket/layers"

	"evio/datapath/filter"
	"evio/datapath/ovs"
	"evio/overlay"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// harm are frames with which a container tells its neighbours what is not so, or more than
// it may, by cause. They are from station theirs; ours is the victim.
func harm(t testing.TB) map[string]struct {
	frame []byte
	cause filter.Cause
	open  bool // passes in open
} {
	next := func(kind layers.IPProtocol, hops uint8, all ...[]byte) []byte {
		return ipv6(t, theirs, kind, hops, slices.Concat(all...))
	}
	advertisement := told(theirs, our6, theirs)[54:]
	withOption := func(f []byte, hw overlay.MAC) []byte {
		f = append(edited(f, func(f []byte) { f[19] += 8 }), 2, 1)
		return append(f, hw[:]...)
	}
	tagged := func(tpid byte, low byte) []byte {
		f := told(theirs, our4, theirs)
		return slices.Concat(f[:12], []byte{tpid, low, 0xe0, 0}, f[12:])
	}
	const icmp, udp6, option, fragment = layers.IPProtocolICMPv6, layers.IPProtocolUDP, layers.IPProtocolIPv6Destination, layers.IPProtocolIPv6Fragment
	type c = struct {
		frame []byte
		cause filter.Cause
		open  bool
	}
	return map[string]c{
		"MAC address of another":              {unicast(t, ours, another), filter.Station, false},
		"router advertisement":                {next(icmp, 255, []byte{134, 0, 0, 0, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0}), filter.Role, false},
		"router advertisement behind options": {next(option, 255, []byte{58, 0, 1, 4, 0, 0, 0, 0}, []byte{134, 0, 0, 0, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0}), filter.Role, false},
		"redirect":                            {next(icmp, 255, []byte{137, 0, 0, 0, 0, 0, 0, 0}), filter.Role, false},
		"DHCP server":                         {udp(t, 67, 68), filter.Role, true},
		"DHCP server at another port":         {udp(t, 1067, 68), filter.Role, true},
		"DHCP server in a first fragment":     {edited(udp(t, 1067, 68), func(f []byte) { f[20] = 0x20 }), filter.Role, true},
		"DHCPv6 server at another port":       {next(udp6, 64, []byte{6, 11, 2, 0x22, 0, 8, 0, 0}), filter.Role, true},
		"ARP for another":                     {told(theirs, our4, theirs), filter.Address, false},
		"ARP probe for another's":             {probe(theirs, our4, theirs), filter.Address, false},
		"advertisement for another":           {told(theirs, our6, theirs), filter.Address, false},
		"advertisement for its link-local":    {told(theirs, Made(ours), theirs), filter.Address, false},
		"advertisement to another MAC":        {told(theirs, their6, ours), filter.Address, false},
		"probe for another's":                 {dad(t, theirs, our6), filter.Address, false},
		"probe for another's link-local":      {dad(t, theirs, Made(ours)), filter.Address, false},
		"advertisement behind options":        {next(option, 255, []byte{58, 0, 1, 4, 0, 0, 0, 0}, advertisement), filter.Address, false},
		"advertisement in a first fragment":   {next(fragment, 255, []byte{58, 0, 0, 1, 0, 0, 0, 9}, advertisement), filter.Malformed, false},
		"advertisement in a later fragment":   {next(fragment, 255, []byte{58, 0, 0, 1, 0, 0, 0, 9}, advertisement[:4]), filter.Malformed, false},
		"headers that are not whole":          {next(option, 255, []byte{58, 9, 1, 4, 0, 0, 0, 0}, advertisement), filter.Malformed, false},
		"option twice":                        {withOption(told(theirs, their6, theirs), ours), filter.Malformed, false},
		"priority tag":                        {tagged(0x81, 0), filter.Malformed, false},
		"priority service tag":                {tagged(0x88, 0xa8), filter.Malformed, false},
		"frame of a bridge":                   {edited(unicast(t, theirs, overlay.MAC{1, 0x80, 0xc2}), func([]byte) {}), filter.Malformed, false},
		"IPv4 from another":                   {edited(udp(t, 1, 2), func(f []byte) { copy(f[26:], our4.AsSlice()) }), filter.Address, false},
		"IPv4 redirect":                       {edited(udp(t, 5<<8, 0), func(f []byte) { f[23] = 1 }), filter.Role, false},
		"IPv6 from another":                   {edited(next(udp6, 64, []byte{0, 1, 0, 2, 0, 8, 0, 0}), func(f []byte) { copy(f[22:], our6.AsSlice()) }), filter.Address, false},
		"IPv6 from its link-local":            {edited(next(udp6, 64, []byte{0, 1, 0, 2, 0, 8, 0, 0}), func(f []byte) { copy(f[22:], Made(ours).AsSlice()) }), filter.Address, false},
	}
}

// TestHarm: what is refused of a peer is refused of a container here, for the same cause.
func TestHarm(t *testing.T) {
	for name, c := range harm(t) {
		t.Run(name, func(t *testing.T) {
			for _, m := range Modes {
				want := c.cause
				if c.open && m == Open {
					want = filter.None
				}
				r := rules(m)
				if got := r.Peer(table(), there, c.frame); got.Cause != want {
					t.Errorf("%s: of a peer %+v, want cause %d", m, got, want)
				}
				v, ok := filter.Parse(c.frame)
				if !ok {
					t.Fatal("no frame")
				}
				f := factsFor(&v, []overlay.MAC{theirs}, []netip.Addr{their4, their6, Made(theirs)}, []netip.Addr{our4, our6, Made(ours)})
				if then, got := r.Guard.Send(&v, f); got != want || (then == filter.Pass) != (want == filter.None) {
					t.Errorf("%s: of a container %d, %d, want cause %d", m, then, got, want)
				}
			}
		})
	}
}

// TestFlowsGolden shows the flows of each mode.
func TestFlowsGolden(t *testing.T) {
	for _, m := range Modes {
		t.Run(string(m), func(t *testing.T) {
			b := ovs.Bridge{Name: "br", Network: "n", MTU: 1400, Guard: m.Guard(subnets), Elsewhere: elsewhere, Ports: []ovs.Port{
				{Name: "a", Role: ovs.Container, MACs: []ovs.MAC{stationA, virtual}, Addrs: addrsOfA, Taken: takenByA, Tag: 7},
				{Name: "b", Role: ovs.Container, MACs: []ovs.MAC{stationB}, Addrs: addrsOfB, Lost: lostByB, Tag: 9},
				{Name: "f", Role: ovs.Fabric}, {Name: "q", Role: ovs.Asking},
			}}
			if err := b.Validate(); err != nil {
				t.Fatal(err)
			}
			var lines []string
			for _, f := range ovs.Flows(b, map[string]int{"a": 1, "b": 2, "f": 3, "q": 4}) {
				text, err := f.MarshalText()
				if err != nil {
					t.Fatal(err)
				}
				lines = append(lines, strings.Replace(string(text), ",idle_timeout=0", "", 1))
			}
			file, got := filepath.Join("testdata", "flows-"+string(m)+".txt"), strings.Join(lines, "\n")+"\n"
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
