package network

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/gopacket/gopacket/layers"

	"evio/datapath/packet"
	"evio/overlay"
	"evio/overlay/nodeid"
)

var (
	// made is the link-local address made of a MAC address, as the kernel does it.
	ourMade   = netip.MustParseAddr("fe80::ff:fe00:1")
	theirMade = netip.MustParseAddr("fe80::ff:fe00:2")
	private   = netip.MustParseAddr("fe80::1234:5678:9abc:def0")
)

// from is an IPv6 packet of their container from an address.
func from(t *testing.T, source netip.Addr) []byte {
	return edited(ipv6(t, theirs, layers.IPProtocolICMPv6, 64, []byte{128, 0, 0, 0, 0, 0, 0, 0}), func(f []byte) {
		copy(f[offIPv6Source:], source.AsSlice())
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
		"packet from nobody's address":     {nil, from(t, unknown6), false},
		"IPv4 link-local address by ARP":   {nil, told(theirs, netip.MustParseAddr("169.254.1.1"), theirs), true},
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
		"probe of nobody's address":        {nil, dad(t, theirs, unknown6), false},
	} {
		t.Run(name, func(t *testing.T) {
			n := bare(t)
			if c.ours != nil {
				n.learnLinkLocal(table(), here, c.ours)
			}
			f := n.frameFault(table(), there, c.theirs)
			if got := f.cause != nil; got != c.refused {
				t.Errorf("refused %v, want %v", got, c.refused)
			}
			if c.refused && f.cause != &n.drops.notHolder {
				t.Errorf("counted as %s", n.nameOf(f.cause))
			}
		})
	}
}

// Who used an address first has it for as long as the directory has its MAC address.
func TestLinkLocalAddressIsFreeAgain(t *testing.T) {
	var l linkLocals
	if !l.belongs(table(), private, ours) || l.belongs(table(), private, theirs) || !l.belongs(table(), private, ours) {
		t.Fatal("the first user does not have the address")
	}
	without := overlay.NewTable(slices.DeleteFunc(slices.Clone(table().Entries()), func(e overlay.Entry) bool { return e.MAC == ours }))
	if !l.belongs(without, private, theirs) || l.belongs(table(), private, ours) {
		t.Error("the address did not go to the next user when the MAC address was gone")
	}
	l.sweep(overlay.NewTable(nil))
	if len(l.known) != 0 || len(l.count) != 0 || len(l.ofNode) != 0 {
		t.Errorf("%d addresses of %d MAC addresses at %d nodes are left", len(l.known), len(l.count), len(l.ofNode))
	}
	moved := overlay.NewTable([]overlay.Entry{{MAC: ours, Node: there}, {MAC: theirs, Node: there}})
	if !l.belongs(table(), private, ours) || !l.belongs(moved, private, theirs) || l.belongs(moved, private, ours) {
		t.Error("a MAC address has taken its address to another node")
	}
}

// A container here speaks for nobody elsewhere.
func TestLinkLocalIsLearntOfContainersHere(t *testing.T) {
	n := bare(t)
	for _, f := range [][]byte{told(ours, private, theirs), dad(t, theirs, private), dad(t, unknownMAC, private)} {
		n.learnLinkLocal(table(), here, f)
	}
	if len(n.linkLocals.known) != 0 {
		t.Errorf("learnt %v", n.linkLocals.known)
	}
}

// dad is a neighbour solicitation of who has no address yet.
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
	var l linkLocals
	taken := 0
	for i := range macs {
		for j := range maxLinkLocals + 1 {
			if l.belongs(known, at(i, j), mac(i)) {
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
	if !l.belongs(known, private, third) {
		t.Error("another member has no room")
	}
	for i := range macs { // this engine's containers always have
		l.learn(known, at(macs+i, 0), mac(macs+i))
		if l.belongs(known, at(macs+i, 0), third) {
			t.Fatalf("container %d here has no room", i)
		}
	}
}

func TestIPv4SourceOfAnother(t *testing.T) {
	n := bare(t)
	f := udp(t, 1, 2)
	stolen := edited(f, func(f []byte) { copy(f[offIPv4Source:], our4.AsSlice()) })
	if got := n.frameFault(table(), there, stolen); got.cause != &n.drops.notHolder || !got.taken {
		t.Errorf("a packet from our address: %s", n.nameOf(got.cause))
	}
	routed := edited(f, func(f []byte) { copy(f[offIPv4Source:], unknown4.AsSlice()) })
	for _, f := range [][]byte{f, routed, f[:packet.HeaderLen+10]} {
		if got := n.frameFault(table(), there, f); got.cause != nil {
			t.Errorf("%x: %s", f, n.nameOf(got.cause))
		}
	}
}
