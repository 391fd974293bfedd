package sites

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func ranges(texts ...string) []netip.Prefix {
	var all []netip.Prefix
	for _, s := range texts {
		all = append(all, netip.MustParsePrefix(s))
	}
	return all
}

func TestCheckName(t *testing.T) {
	for _, good := range []string{"", "a", "Berlin-2", strings.Repeat("x", 63)} {
		if err := CheckName(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{"-a", "a-", "-", "a b", "a.b", "a_b", "münchen", "a\n", strings.Repeat("x", 64)} {
		if CheckName(bad) == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func TestLayout(t *testing.T) {
	s := Site{Name: "ab", Ranges: ranges("10.9.0.64/26", "fd00::/80"), MTU: 1400, Subnets: ranges("10.9.0.0/16"), Losing: true, Guard: "open", Gateways: []netip.Addr{netip.MustParseAddr("10.9.0.1")}}
	want := append([]byte{2, 'a', 'b', 2, 26, 4, 10, 9, 0, 64, 80, 16, 0xfd}, make([]byte, 15)...)
	want = append(want, 5, 120, 1, 16, 4, 10, 9, 0, 0, 1, 3, 1, 4, 10, 9, 0, 1)
	if diff := cmp.Diff(want, s.Append(nil)); diff != "" {
		t.Error(diff)
	}
	if got := (Site{}).Append(nil); !bytes.Equal(got, []byte{0, 0, 0, 0, 0, 0, 0, 0}) {
		t.Errorf("nothing to say is %v", got)
	}
	many := Site{}
	for i := range 20 {
		many.Ranges = append(many.Ranges, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i)}), 16))
		many.Subnets = many.Ranges
		many.Gateways = append(many.Gateways, many.Ranges[i].Addr().Next())
	}
	if got, err := Parse(many.Append(nil)); err != nil || len(got.Ranges) != MaxRanges || len(got.Subnets) != MaxSubnets || len(got.Gateways) != MaxGateways {
		t.Errorf("%d ranges, %d subnets, %d gateways, %v", len(got.Ranges), len(got.Subnets), len(got.Gateways), err)
	}
}

func TestParseRefuses(t *testing.T) {
	for name, b := range map[string][]byte{
		"empty":              nil,
		"name cut short":     {3, 'a'},
		"name with a space":  {1, ' ', 0},
		"name too long":      append([]byte{64}, append(bytes.Repeat([]byte{'a'}, 64), 0)...),
		"no ranges":          {0},
		"too many ranges":    {0, 17},
		"range cut short":    {0, 1, 8, 4, 10, 0},
		"range missing":      {0, 1},
		"host bits set":      {0, 1, 8, 4, 10, 0, 0, 1},
		"prefix too long":    {0, 1, 33, 4, 10, 0, 0, 1},
		"everything":         {0, 1, 0, 4, 0, 0, 0, 0},
		"odd address":        {0, 1, 8, 3, 10, 0, 0},
		"no MTU":             {0, 0, 5},
		"no subnets":         {0, 0, 5, 120},
		"too many subnets":   {0, 0, 5, 120, 17},
		"subnet cut short":   {0, 0, 5, 120, 1, 8, 4, 10, 0},
		"no word of losses":  {0, 0, 5, 120, 0},
		"odd word of losses": {0, 0, 5, 120, 0, 2},
		"no guard":           {0, 0, 5, 120, 0, 0},
		"odd guard":          {0, 0, 5, 120, 0, 0, 4, 0},
		"no gateways":        {0, 0, 5, 120, 0, 0, 1},
		"too many gateways":  {0, 0, 5, 120, 0, 0, 1, 17},
		"gateway cut short":  {0, 0, 5, 120, 0, 0, 1, 1, 4, 10, 0},
		"gateway of many":    {0, 0, 5, 120, 0, 0, 1, 1, 4, 224, 0, 0, 1},
		"gateway of nobody":  {0, 0, 5, 120, 0, 0, 1, 1, 4, 0, 0, 0, 0},
		"odd subnet":         {0, 0, 5, 120, 1, 8, 4, 10, 0, 0, 1},
	} {
		if s, err := Parse(b); err == nil {
			t.Errorf("%s: taken as %+v", name, s)
		}
	}
}

func TestOverlap(t *testing.T) {
	a := Site{Ranges: ranges("10.0.0.0/24", "10.1.0.0/24", "fd00::/80")}
	b := Site{Ranges: ranges("10.0.0.128/25", "10.2.0.0/16", "fd00:0:0:0:1::/80")}
	own, others := a.Overlap(b)
	if diff := cmp.Diff([][]netip.Prefix{ranges("10.0.0.0/24"), ranges("10.0.0.128/25")}, [][]netip.Prefix{own, others},
		cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
	if own, others := a.Overlap(Site{}); own != nil || others != nil {
		t.Errorf("a site of which nothing is known: %v, %v", own, others)
	}
}

func TestApart(t *testing.T) {
	site := func(subnets ...string) Site { return Site{Subnets: ranges(subnets...)} }
	for _, c := range []struct {
		name       string
		a, b       Site
		v4, v6     bool
		own, other string
	}{
		{"the same", site("10.9.0.0/16", "fd00::/64"), site("10.9.0.0/16", "fd00::/64"), false, false, "", ""},
		{"one within another", site("10.9.0.0/16"), site("10.9.1.0/24"), false, false, "", ""},
		{"one of two in common", site("10.9.0.0/16", "10.10.0.0/16"), site("10.10.0.0/16"), false, false, "", ""},
		{"IPv4 apart", site("10.61.0.0/24", "fd00::/64"), site("10.62.0.0/24", "fd00::/64"), true, false, "10.61.0.0/24", "10.62.0.0/24"},
		{"IPv6 apart", site("10.9.0.0/16", "fdd0:2432:5fb0::/64"), site("10.9.0.0/16", "fd3b:9c8c:c4f6::/64"), false, true, "fdd0:2432:5fb0::/64", "fd3b:9c8c:c4f6::/64"},
		{"a family that one has alone", site("10.9.0.0/16", "fd00::/64"), site("10.9.0.0/16"), false, false, "", ""},
		{"no addresses", site(), site("10.9.0.0/16"), false, false, "", ""},
	} {
		for v6, want := range map[bool]bool{false: c.v4, true: c.v6} {
			own, others := c.a.Apart(c.b, v6)
			if (own != nil) != want || want && (own[0].String() != c.own || others[0].String() != c.other) {
				t.Errorf("%s: %v and %v", c.name, own, others)
			}
		}
	}
}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := Site{Name: rapid.StringMatching(`([a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?)?`).Draw(rt, "name")}
		for _, list := range []*[]netip.Prefix{&s.Ranges, &s.Subnets} {
			for range rapid.IntRange(0, MaxRanges).Draw(rt, "prefixes") {
				size := rapid.SampledFrom([]int{4, 16}).Draw(rt, "size")
				addr, _ := netip.AddrFromSlice(rapid.SliceOfN(rapid.Byte(), size, size).Draw(rt, "address"))
				if addr.Is4In6() {
					continue
				}
				*list = append(*list, netip.PrefixFrom(addr, rapid.IntRange(1, addr.BitLen()).Draw(rt, "bits")).Masked())
			}
		}
		for range rapid.IntRange(0, MaxGateways).Draw(rt, "gateways") {
			size := rapid.SampledFrom([]int{4, 16}).Draw(rt, "size")
			addr, _ := netip.AddrFromSlice(rapid.SliceOfN(rapid.Byte(), size, size).Draw(rt, "gateway"))
			if !addr.Is4In6() && !addr.IsUnspecified() && !addr.IsMulticast() {
				s.Gateways = append(s.Gateways, addr)
			}
		}
		s.Guard = rapid.SampledFrom(guards).Draw(rt, "guard")
		s.MTU, s.Losing = rapid.IntRange(0, 65535).Draw(rt, "MTU"), rapid.Bool().Draw(rt, "losing")
		later := rapid.SliceOfN(rapid.Byte(), 0, 5).Draw(rt, "later fields")
		got, err := Parse(append(s.Append(nil), later...))
		if err != nil || !got.Equal(s) {
			rt.Fatalf("%+v became %+v, %v", s, got, err)
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add(Site{Name: "a", Ranges: ranges("10.9.0.64/26", "fd00::/80"), MTU: 1400, Subnets: ranges("10.9.0.0/16", "fd00::/64"), Guard: "claim"}.Append(nil))
	f.Add([]byte{0, 0, 5, 120, 0, 1, 2, 1, 4, 10, 9, 0, 1, 7})
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := Parse(b)
		if err != nil {
			return
		}
		if again := s.Append(nil); !bytes.HasPrefix(b, again) {
			t.Errorf("%x became %x", b, again)
		}
	})
}
