package admission

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/gopacket/gopacket/layers"

	"evio/datapath/filter"
	"evio/datapath/packet"
	"evio/overlay"
	"evio/overlay/nodeid"
)

var (
	// made is the link-local address made of a MAC address, as the kernel does it.
	ourMade   = netip.MustParseAddr("fe80::ff:fe00:1")
	theirMade = netip.MustParseAddr("fe80::ff:fe00:2")
	local4    = netip.MustParseAddr("169.254.1.1")
	private   = netip.MustParseAddr("fe80::1234:5678:9abc:def0")
)

// from is an IPv6 packet of their container from an address.
func from(t *testing.T, source netip.Addr) []byte {
	return edited(ipv6(t, theirs, layers.IPProtocolICMPv6, 64, []byte{128, 0, 0, 0, 0, 0, 0, 0}), func(f []byte) {
		copy(f[22:], source.AsSlice())
	})
}

func TestLinkLocalAddresses(t *testing.T) {
	for name, c := range map[string]struct {
		ours, theirs []byte // what our container says before, and what theirs says then
		refused      bool
	}{
		"made of its MAC address":          {nil, told(theirs, theirMade, theirs), false},
		"made of ours":                     {nil, told(theirs, ourMade, theirs), true},
		"of its own":                       {nil, told(theirs, private, theirs), false},
		"of ours":                          {told(ours, private, ours), told(theirs, private, theirs), true},
		"packet from its own":              {nil, from(t, theirMade), false},
		"packet from one made of ours":     {nil, from(t, ourMade), true},
		"packet from ours":                 {told(ours, private, ours), from(t, private), true},
		"packet from our address":          {nil, from(t, our6), true},
		"packet from nobody's address":     {nil, from(t, unknown6), true},
		"IPv4 link-local address by ARP":   {nil, told(theirs, local4, theirs), false},
		"IPv4 link-local address of ours":  {told(ours, local4, ours), told(theirs, local4, theirs), true},
		"probe of one of ours":             {told(ours, local4, ours), probe(theirs, local4, theirs), true},
		"our container speaks of another":  {told(ours, our6, ours), told(theirs, private, theirs), false},
		"what ours has probed":             {dad(t, ours, private), told(theirs, private, theirs), true},
		"packet from what ours has probed": {dad(t, ours, private), from(t, private), true},
		"probe":                            {nil, dad(t, theirs, private), false},
		"probe of its own":                 {nil, dad(t, theirs, theirMade), false},
		"probe of ours":                    {told(ours, private, ours), dad(t, theirs, private), true},
		"probe of what ours probes":        {dad(t, ours, private), dad(t, theirs, private), true},
		"probe of one made of ours":        {nil, dad(t, theirs, ourMade), true},
		"probe of one made of nobody's":    {nil, dad(t, theirs, netip.MustParseAddr("fe80::ff:fe00:9")), true},
		"probe of our address":             {nil, dad(t, theirs, our6), true},
		"probe of its address":             {nil, dad(t, theirs, their6), false},
		"probe of nobody's address":        {nil, dad(t, theirs, unknown6), true},
	} {
		t.Run(name, func(t *testing.T) {
			r := rules(Claim)
			if c.ours != nil {
				if said := r.Peer(table(), here, c.ours); said.Cause != filter.None {
					t.Fatalf("ours: %+v", said)
				}
			}
			f := r.Peer(table(), there, c.theirs)
			if got := f.Cause != filter.None; got != c.refused || c.refused && f.Cause != filter.Address {
				t.Errorf("%+v, refused shall be %v", f, c.refused)
			}
		})
	}
}

// Who used an address first has it for as long as the directory has its MAC address.
func TestLinkLocalAddressIsFreeAgain(t *testing.T) {
	var l LinkLocals
	if !belongs(&l, table(), private, ours) || belongs(&l, table(), private, theirs) || !belongs(&l, table(), private, ours) {
		t.Fatal("the first user does not have the address")
	}
	without := overlay.NewTable(slices.DeleteFunc(slices.Clone(table().Entries()), func(e overlay.Entry) bool { return e.MAC == ours }))
	if !belongs(&l, without, private, theirs) || belongs(&l, table(), private, ours) {
		t.Error("the address did not go to the next user when the MAC address was gone")
	}
	l.Follow([]overlay.Change{{MAC: theirs, Before: overlay.Entry{MAC: theirs, Node: there}}})
	if len(l.known) != 0 || len(l.ofMAC) != 0 || len(l.ofNode) != 0 {
		t.Errorf("%d addresses of %d MAC addresses at %d nodes are left", len(l.known), len(l.ofMAC), len(l.ofNode))
	}
	moved := overlay.NewTable([]overlay.Entry{{MAC: ours, Node: there}, {MAC: theirs, Node: there}})
	if !belongs(&l, table(), private, ours) || !belongs(&l, moved, private, theirs) || belongs(&l, moved, private, ours) {
		t.Error("a MAC address has taken its address to another node")
	}
}

// dad is a neighbour solicitation from a station without an address.
func dad(t testing.TB, by overlay.MAC, target netip.Addr) []byte {
	return edited(solicit(t, netip.IPv6Unspecified(), target), func(f []byte) { copy(f[6:12], by[:]) })
}

// A member with as many MAC addresses as the directory takes has room for its own
// link-local addresses alone, and a MAC address for some.
func TestLinkLocalMemoryIsBounded(t *testing.T) {
	const macs = 1024
	at := func(i, j int) netip.Addr {
		return netip.AddrFrom16([16]byte{0xfe, 0x80, 13: byte(i >> 8), 14: byte(i), 15: byte(j)})
	}
	mac := func(i int) overlay.MAC { return overlay.MAC{2, 0, 1, 0, byte(i >> 8), byte(i)} }
	entries := slices.Clone(table().Entries())
	for i := range macs {
		entries = append(entries, overlay.Entry{MAC: mac(i), Node: there}, overlay.Entry{MAC: mac(macs + i), Node: here})
	}
	third := overlay.MAC{2, 0, 0, 0, 0, 3}
	known := overlay.NewTable(append(entries, overlay.Entry{MAC: third, Node: nodeid.ID{3}}))
	var l LinkLocals
	taken := 0
	for i := range macs {
		for j := range maxLinkLocals + 1 {
			if belongs(&l, known, at(i, j), mac(i)) {
				taken++
			}
		}
		if i == 0 && taken != maxLinkLocals {
			t.Fatalf("one MAC address has %d addresses", taken)
		}
	}
	if taken != maxNodeLinkLocals || len(l.known) != taken {
		t.Errorf("%d addresses taken, %d remembered, at most %d may be", taken, len(l.known), maxNodeLinkLocals)
	}
	if !belongs(&l, known, private, third) {
		t.Error("another member has no room")
	}
	for i := range macs { // this engine's containers always have
		l.Learn(known, at(macs+i, 0), mac(macs+i))
		if belongs(&l, known, at(macs+i, 0), third) {
			t.Fatalf("container %d here has no room", i)
		}
	}
}

func TestIPv4Source(t *testing.T) {
	f := udp(t, 1, 2)
	from := func(a netip.Addr) []byte { return edited(f, func(f []byte) { copy(f[26:], a.AsSlice()) }) }
	for _, c := range []struct {
		name  string
		frame []byte
		mode  Mode
		want  Fault
	}{
		{"its own", f, Strict, Fault{}},
		{"of ours", from(our4), Claim, Fault{Cause: filter.Address, Taken: true}},
		{"of ours", from(our4), Open, Fault{Cause: filter.Address, Taken: true}},
		{"of nobody's", from(unknown4), Strict, Fault{Cause: filter.Address}},
		{"of nobody's", from(unknown4), Claim, Fault{Cause: filter.Address}},
		{"of nobody's", from(unknown4), Open, Fault{}},
		{"of the host itself", from(netip.MustParseAddr("127.0.0.1")), Open, Fault{Cause: filter.Address}},
		{"cut", f[:packet.HeaderLen+10], Open, Fault{Cause: filter.Address}},
	} {
		if got := rules(c.mode).Peer(table(), there, c.frame); got != c.want {
			t.Errorf("%s, %s: %+v, want %+v", c.mode, c.name, got, c.want)
		}
	}
}

// belongs reports whether a member may use the address with a MAC address, and uses it.
func belongs(l *LinkLocals, t *overlay.Table, addr netip.Addr, mac overlay.MAC) bool {
	return l.holder(t, addr, mac) == filter.Self && l.take(t, addr, mac, maxNodeLinkLocals)
}
