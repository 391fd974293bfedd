package admission

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/gopacket/gopacket/layers"

	"evio/datapath/filter"
	"evio/datapath/packet"
)

func TestFramesOfAPeerMustBeTrue(t *testing.T) {
	local := netip.MustParseAddr("fe80::2")
	tag := func(tpid, vid uint16) []byte {
		b := append(slices.Clone(packet.Broadcast[:]), theirs[:]...)
		b = binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(b, tpid), vid)
		return append(b, told(theirs, our4, theirs)[12:]...)
	}
	// A second link-layer option: some receivers take the first.
	twice := edited(told(theirs, their6, theirs), func(f []byte) { f[packet.HeaderLen+5] += 8 })
	twice = append(twice, append([]byte{2, 1}, ours[:]...)...)
	for name, c := range map[string]struct {
		frame []byte
		cause filter.Cause
		taken bool
		final bool
	}{
		"runt":                                {make([]byte, 13), filter.Malformed, false, true},
		"of its own":                          {unicast(t, theirs, ours), filter.None, false, false},
		"of ours":                             {unicast(t, ours, another), filter.Station, true, false},
		"of nobody's":                         {unicast(t, unknownMAC, ours), filter.Station, false, false},
		"ARP of its own":                      {told(theirs, their4, theirs), filter.None, false, false},
		"ARP of our address":                  {told(theirs, our4, theirs), filter.Address, true, false},
		"ARP of our MAC":                      {told(theirs, their4, ours), filter.Address, true, false},
		"ARP of a free address":               {told(theirs, unknown4, theirs), filter.Address, false, false},
		"ARP of a free MAC":                   {told(theirs, their4, unknownMAC), filter.Address, false, false},
		"ARP probe":                           {probe(theirs, unknown4, theirs), filter.Address, false, false},
		"ARP probe of its own":                {probe(theirs, their4, theirs), filter.None, false, false},
		"ARP probe of our address":            {probe(theirs, our4, theirs), filter.Address, true, false},
		"ARP probe of our address, for us":    {probe(theirs, our4, ours), filter.Address, true, false},
		"ARP of IEEE 802 hardware":            {edited(told(theirs, our4, theirs), func(f []byte) { f[15] = 6 }), filter.Malformed, false, true},
		"advertisement of its own":            {told(theirs, their6, theirs), filter.None, false, false},
		"advertisement of our address":        {told(theirs, our6, theirs), filter.Address, true, false},
		"advertisement of a free address":     {told(theirs, unknown6, theirs), filter.Address, false, false},
		"advertisement with two options":      {twice, filter.Malformed, false, true},
		"advertisement of a link-local":       {told(theirs, local, theirs), filter.None, false, false},
		"link-local at our MAC":               {told(theirs, local, ours), filter.Address, true, false},
		"solicitation of ours":                {edited(solicit(t, our6, their6), func(f []byte) { copy(f[6:12], theirs[:]) }), filter.Address, true, false},
		"router solicitation":                 {ipv6(t, theirs, layers.IPProtocolICMPv6, 255, []byte{133, 0, 0, 0, 0, 0, 0, 0}), filter.None, false, false},
		"router solicitation from ours":       {edited(ipv6(t, theirs, layers.IPProtocolICMPv6, 255, []byte{133, 0, 0, 0, 0, 0, 0, 0}), func(f []byte) { copy(f[22:38], our6.AsSlice()) }), filter.Address, true, false},
		"router advertisement":                {ipv6(t, theirs, layers.IPProtocolICMPv6, 255, []byte{134, 0, 0, 0, 0, 0, 0, 0}), filter.Role, false, true},
		"redirect":                            {ipv6(t, theirs, layers.IPProtocolICMPv6, 255, []byte{137, 0, 0, 0, 0, 0, 0, 0}), filter.Role, false, true},
		"echo request":                        {ipv6(t, theirs, layers.IPProtocolICMPv6, 64, []byte{128, 0, 0, 0, 0, 0, 0, 0}), filter.None, false, false},
		"advertisement behind an option":      {ipv6(t, theirs, layers.IPProtocolIPv6Destination, 255, append([]byte{58, 0, 1, 4, 0, 0, 0, 0}, told(theirs, our6, theirs)[54:]...)), filter.Address, true, false},
		"report of multicast listener":        {ipv6(t, theirs, layers.IPProtocolIPv6HopByHop, 1, []byte{58, 0, 5, 2, 0, 0, 1, 0, 143, 0}), filter.None, false, false},
		"DHCPv6 server":                       {ipv6(t, theirs, layers.IPProtocolUDP, 1, []byte{0x02, 0x23, 0x02, 0x22, 0, 8, 0, 0}), filter.Role, false, true},
		"DHCPv6 server behind options":        {ipv6(t, theirs, layers.IPProtocolIPv6Destination, 64, append([]byte{17, 0, 1, 4, 0, 0, 0, 0}, 0x02, 0x23, 0x02, 0x22, 0, 8, 0, 0)), filter.Role, false, true},
		"DHCPv6 server in a fragment":         {ipv6(t, theirs, layers.IPProtocolIPv6Fragment, 64, append([]byte{17, 0, 0, 1, 0, 0, 0, 1}, 0x02, 0x23, 0x02, 0x22, 0, 8, 0, 0)), filter.Role, false, true},
		"first fragment that shows no ports":  {ipv6(t, theirs, layers.IPProtocolIPv6Fragment, 64, append([]byte{60, 0, 0, 1, 0, 0, 0, 1}, 17, 0, 1, 4, 0, 0, 0, 0)), filter.Malformed, false, true},
		"later fragment":                      {ipv6(t, theirs, layers.IPProtocolIPv6Fragment, 64, append([]byte{17, 0, 0, 8, 0, 0, 0, 1}, 0x02, 0x23, 0x02, 0x22, 0, 8, 0, 0)), filter.None, false, false},
		"short IPv6":                          {edited(told(theirs, our6, theirs), func([]byte) {})[:40], filter.Malformed, false, true},
		"IPv6 without a body":                 {ipv6(t, theirs, layers.IPProtocolNoNextHeader, 64, nil), filter.None, false, false},
		"IPv6 without a body, from ours":      {edited(ipv6(t, theirs, layers.IPProtocolNoNextHeader, 64, nil), func(f []byte) { copy(f[22:38], our6.AsSlice()) }), filter.Address, true, false},
		"DHCP server":                         {udp(t, 67, 68), filter.Role, false, true},
		"DHCP client":                         {udp(t, 68, 67), filter.None, false, false},
		"tag that receivers take off":         {tag(packet.TypeVLAN, 0x2000), filter.Malformed, false, true},
		"service tag that receivers take off": {tag(0x88a8, 0), filter.Malformed, false, true},
		"tag cut short":                       {tag(packet.TypeVLAN, 5)[:14], filter.Malformed, false, true},
		"tag":                                 {tag(packet.TypeVLAN, 5), filter.None, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got, want := rules(Claim).Peer(table(), there, c.frame), (Fault{c.cause, c.final, c.taken}); got != want {
				t.Errorf("%+v, want %+v", got, want)
			}
		})
	}
}

// The check of data frames is made for each of them.
func TestPeerAllocatesNothing(t *testing.T) {
	r, known := rules(Claim), table()
	for _, f := range [][]byte{
		unicast(t, theirs, ours), udp(t, 1, 2), told(theirs, their4, theirs), told(theirs, their6, theirs), told(theirs, our4, theirs),
	} {
		if got := testing.AllocsPerRun(100, func() { r.Peer(known, there, f) }); got != 0 {
			t.Errorf("%v allocations for %x", got, f)
		}
	}
}

func BenchmarkPeer(b *testing.B) {
	r, known := rules(Claim), table()
	for name, f := range map[string][]byte{"IPv4": udp(b, 1, 2), "ARP": told(theirs, their4, theirs), "ND": told(theirs, their6, theirs)} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				r.Peer(known, there, f)
			}
		})
	}
}

func FuzzPeer(f *testing.F) {
	for _, frame := range [][]byte{nil, told(theirs, our4, theirs), told(theirs, our6, theirs), udp(f, 67, 68), probe(theirs, our4, theirs), dad(f, theirs, our6)} {
		f.Add(frame)
	}
	r, known := rules(Claim), table()
	f.Fuzz(func(t *testing.T, frame []byte) {
		if r.Peer(known, there, frame).Cause != filter.None {
			return
		}
		if c, ok := packet.Probe(frame); ok && !c.Addr.IsLinkLocalUnicast() {
			if e, held := known.Lookup(c.Addr); held && e.Node != there {
				t.Errorf("%x asks for %v", frame, c.Addr)
			}
		}
		if c, ok := packet.Claims(frame); ok && !c.Addr.IsLinkLocalUnicast() {
			if e, held := known.Lookup(c.Addr); !held || e.Node != there {
				t.Errorf("%s", fmt.Sprintf("%x tells of %v", frame, c.Addr))
			}
		}
	})
}
