package network

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/gopacket/gopacket/layers"

	"evio/datapath/packet"
	"evio/overlay"
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
		"made of its MAC address":         {nil, told(theirs, theirMade, theirs), false},
		"made of ours":                    {nil, told(theirs, ourMade, theirs), true},
		"of its own":                      {nil, told(theirs, private, theirs), false},
		"of ours":                         {told(ours, private, ours), told(theirs, private, theirs), true},
		"packet from its own":             {nil, from(t, theirMade), false},
		"packet from one made of ours":    {nil, from(t, ourMade), true},
		"packet from ours":                {told(ours, private, ours), from(t, private), true},
		"packet from our address":         {nil, from(t, our6), true},
		"packet from nobody's address":    {nil, from(t, unknown6), false},
		"IPv4 link-local address by ARP":  {nil, told(theirs, netip.MustParseAddr("169.254.1.1"), theirs), true},
		"our container speaks of another": {told(ours, our6, ours), told(theirs, private, theirs), false},
	} {
		t.Run(name, func(t *testing.T) {
			n := bare(t)
			if c.ours != nil {
				n.learnLinkLocal(table(), c.ours)
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
	if len(l.known) != 0 || len(l.count) != 0 {
		t.Errorf("%d addresses of %d MAC addresses are left", len(l.known), len(l.count))
	}
}

func TestLinkLocalMemoryIsBounded(t *testing.T) {
	var l linkLocals
	at := func(i, j int) netip.Addr {
		return netip.AddrFrom16([16]byte{0xfe, 0x80, 13: byte(i >> 8), 14: byte(i), 15: byte(j)})
	}
	taken := 0
	for i := range 1200 {
		mac := overlay.MAC{2, 0, 1, 0, byte(i >> 8), byte(i)}
		for j := range maxLinkLocals + 1 {
			if l.belongs(table(), at(i, j), mac) {
				taken++
			}
		}
		if i == 0 && taken != maxLinkLocals {
			t.Fatalf("one MAC address has %d addresses", taken)
		}
	}
	if taken != maxAllLinkLocals || len(l.known) != taken {
		t.Errorf("%d addresses taken, %d remembered, at most %d may be", taken, len(l.known), maxAllLinkLocals)
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
