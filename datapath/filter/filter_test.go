package filter_test

import (
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"evio/datapath/filter"
	"evio/datapath/packet"
)

var (
	a, b      = packet.MAC{2, 0, 0, 0, 0, 1}, packet.MAC{2, 0, 0, 0, 0, 2}
	ip4, ip6  = netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd00::1")
	header    = "020000000002 020000000001 "
	v6        = "86dd 60000000 %s ff fd000000000000000000000000000001 ff020000000000000000000000000001 "
	sameAddrs = cmpopts.EquateComparable(netip.Addr{})
)

func bytesOf(t testing.TB, s string) []byte {
	t.Helper()
	out, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// six is an IPv6 packet: its length and next header, and what is behind its own header.
func six(lengthAndNext, rest string) string {
	return header + strings.Replace(v6, "%s", lengthAndNext, 1) + rest
}

func TestParse(t *testing.T) {
	none6 := netip.IPv6Unspecified()
	group := netip.MustParseAddr("ff02::1")
	const advertisement = "88000000 00000000 fd000000000000000000000000000001 "
	for name, c := range map[string]struct {
		frame string
		want  filter.View
	}{
		"other":              {header + "88b5", filter.View{Kind: filter.Else}},
		"tagged":             {header + "8100 0005 0800", filter.View{Kind: filter.Tagged}},
		"priority":           {header + "88a8 e000 0800", filter.View{Kind: filter.PriorityTag}},
		"cut tag":            {header + "8100 0005", filter.View{Kind: filter.CutTag}},
		"ARP":                {header + "0806 0001 0800 06 04 0002 020000000001 0a000001 020000000002 0a000002", filter.View{Kind: filter.ARP, Protocol: 2, Link: a, From: ip4, To: netip.MustParseAddr("10.0.0.2")}},
		"ARP of no Ethernet": {header + "0806 0006 0800 06 04 0002 020000000001 0a000001 020000000002 0a000002", filter.View{Kind: filter.ARP, From: netip.IPv4Unspecified(), To: netip.IPv4Unspecified()}},
		"UDP":                {header + "0800 4500 001c 0000 0000 40 11 0000 0a000001 0a000002 0043 0044 0008 0000", filter.View{Kind: filter.IPv4, Protocol: 17, Hops: 64, FromPort: 67, ToPort: 68, From: ip4, To: netip.MustParseAddr("10.0.0.2")}},
		"UDP in SNAP":        {header + "0024 aaaa03000000 0800 4500 001c 0000 0000 40 11 0000 0a000001 0a000002 0043 0044 0008 0000", filter.View{Kind: filter.IPv4, Protocol: 17, Hops: 64, FromPort: 67, ToPort: 68, From: ip4, To: netip.MustParseAddr("10.0.0.2")}},
		"first fragment":     {header + "0800 4500 001c 0000 2000 40 11 0000 0a000001 0a000002 0043 0044 0008 0000", filter.View{Kind: filter.IPv4, Protocol: 17, Fragment: filter.First, Hops: 64, FromPort: 67, ToPort: 68, From: ip4, To: netip.MustParseAddr("10.0.0.2")}},
		"later fragment":     {header + "0800 4500 001c 0000 0001 40 11 0000 0a000001 0a000002 0043 0044 0008 0000", filter.View{Kind: filter.IPv4, Protocol: 17, Fragment: filter.Later, Hops: 64, From: ip4, To: netip.MustParseAddr("10.0.0.2")}},
		"IPv4 too long":      {header + "0800 4500 001d 0000 0000 40 11 0000 0a000001 0a000002 0043 0044 0008 0000", filter.View{Kind: filter.IPv4, From: netip.IPv4Unspecified(), To: netip.IPv4Unspecified()}},
		"advertisement":      {six("0020 3a", advertisement+"0201 020000000001"), filter.View{Kind: filter.IPv6, Protocol: 58, Hops: 255, FromPort: 136, Link: a, From: ip6, To: group, Target: ip6}},
		"option twice":       {six("0028 3a", advertisement+"0201 020000000001 0201 020000000002"), filter.View{Kind: filter.IPv6, Protocol: 58, Hops: 255, FromPort: 136, From: ip6, To: group, Target: none6}},
		"behind a header":    {six("0020 3c", "3a00 000000000000 "+advertisement), filter.View{Kind: filter.IPv6, Protocol: 58, Hops: 255, FromPort: 136, From: ip6, To: group, Target: ip6}},
		"in a fragment":      {six("0020 2c", "3a00 0001 00000000 "+advertisement), filter.View{Kind: filter.IPv6, Protocol: 58, Fragment: filter.First, Hops: 255, FromPort: 136, From: ip6, To: group, Target: ip6}},
		"header that is cut": {six("0008 3c", "3a01 000000000000"), filter.View{Kind: filter.IPv6, From: ip6, To: group, Target: none6}},
	} {
		t.Run(name, func(t *testing.T) {
			c.want.Source, c.want.Destination = a, b
			c.want.Fragment = max(c.want.Fragment, filter.Whole)
			got, ok := filter.Parse(bytesOf(t, c.frame))
			if diff := cmp.Diff(c.want, got, sameAddrs); !ok || diff != "" {
				t.Error(diff)
			}
		})
	}
	if _, ok := filter.Parse(make([]byte, packet.HeaderLen-1)); ok {
		t.Error("13 bytes are a frame")
	}
}

// The first rule that matches decides, stage by stage.
func TestDecide(t *testing.T) {
	own := filter.Addresses{Of: filter.Self}
	g := filter.New([]filter.Stage{
		{
			{Match: filter.Match{Kind: filter.ARP, From: own}, Then: filter.Next},
			{Match: filter.Match{Kind: filter.ARP}, Then: filter.Refuse, Cause: filter.Address},
			{Match: filter.Match{Kind: filter.Tagged}, Then: filter.Pass},
		},
		{{Match: filter.Match{Source: filter.Stations{In: []filter.Range{{MAC: b, Mask: packet.Broadcast}}}}, Then: filter.Ask, Cause: filter.Station}},
	}, filter.Stage{{Match: filter.Match{To: filter.Addresses{In: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}}, Then: filter.Refuse, Cause: filter.Destination}})
	for name, c := range map[string]struct {
		view  filter.View
		facts filter.Facts
		then  filter.Verdict
		cause filter.Cause
	}{
		"its own":          {filter.View{Kind: filter.ARP, Source: a}, filter.Facts{From: filter.Self}, filter.Pass, filter.None},
		"another's":        {filter.View{Kind: filter.ARP, Source: a}, filter.Facts{From: filter.Other}, filter.Refuse, filter.Address},
		"second stage":     {filter.View{Kind: filter.ARP, Source: b}, filter.Facts{From: filter.Self}, filter.Ask, filter.Station},
		"past the stages":  {filter.View{Kind: filter.Tagged, Source: b}, filter.Facts{}, filter.Pass, filter.None},
		"no rule about it": {filter.View{Kind: filter.IPv4, Source: a}, filter.Facts{}, filter.Pass, filter.None},
	} {
		if then, cause := g.Send(&c.view, c.facts); then != c.then || cause != c.cause {
			t.Errorf("%s: %d, %d", name, then, cause)
		}
	}
	if then, cause := g.Deliver(&filter.View{To: ip4}, filter.Facts{}); then != filter.Refuse || cause != filter.Destination {
		t.Errorf("delivered: %d, %d", then, cause)
	}
}

// FuzzParse: what a frame shows depends on nothing behind its end, nor on what is behind
// the packet in it.
func FuzzParse(f *testing.F) {
	f.Add(bytesOf(f, header+"0806 0001 0800 06 04 0002 020000000001 0a000001 020000000002 0a000002"))
	f.Add(bytesOf(f, header+"0800 4500 001c 0000 2000 40 11 0000 0a000001 0a000002 0043 0044 0008 0000"))
	f.Add(bytesOf(f, six("0028 3c", "3a00 000000000000 88000000 00000000 fd000000000000000000000000000001 0201 020000000001")))
	f.Add(bytesOf(f, header+"0024 aaaa03000000 8100 0005"))
	f.Fuzz(func(t *testing.T, frame []byte) {
		v, ok := filter.Parse(frame)
		padded := append(append([]byte{}, frame...), 0x02, 0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x87, 0, 0, 0)
		if again, same := filter.Parse(padded[:len(frame)]); again != v || same != ok {
			t.Fatalf("%+v, with other bytes behind it %+v", v, again)
		}
		if ok && v.Protocol != 0 {
			if again, _ := filter.Parse(padded); again != v {
				t.Fatalf("%+v, padded %+v", v, again)
			}
		}
	})
}
