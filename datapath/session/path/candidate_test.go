package path

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pion/ice/v4"
	"github.com/pion/webrtc/v4"
	"pgregory.net/rapid"
)

// drawnCandidate draws a candidate that may be sent.
var drawnCandidate = rapid.Custom(func(t *rapid.T) Candidate {
	addr := netip.AddrFrom4([4]byte(rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "IPv4")))
	if rapid.Bool().Draw(t, "is IPv6") {
		b := [16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "IPv6"))
		b[0] = 0x20
		addr = netip.AddrFrom16(b)
	}
	return Candidate{
		Type: rapid.SampledFrom([]webrtc.ICECandidateType{
			webrtc.ICECandidateTypeHost, webrtc.ICECandidateTypeSrflx, webrtc.ICECandidateTypeRelay,
		}).Draw(t, "type"),
		Addr: netip.AddrPortFrom(addr, rapid.Uint16Min(1).Draw(t, "port")),
	}
})

// TestCandidateLines: the example of docs/PROTOCOL.md, and what others make of it.
func TestCandidateLines(t *testing.T) {
	told := []Candidate{
		{webrtc.ICECandidateTypeHost, netip.MustParseAddrPort("192.0.2.1:14790")},
		{webrtc.ICECandidateTypeHost, netip.MustParseAddrPort("[2001:db8::1]:14790")},
		{webrtc.ICECandidateTypeSrflx, netip.MustParseAddrPort("203.0.113.1:61000")},
		{webrtc.ICECandidateTypeRelay, netip.MustParseAddrPort("[2001:db8::2]:50000")},
	}
	want := []string{
		"candidate:1 1 udp 2130706431 192.0.2.1 14790 typ host",
		"candidate:2 1 udp 2130706431 2001:db8::1 14790 typ host",
		"candidate:3 1 udp 1694498815 203.0.113.1 61000 typ srflx raddr 0.0.0.0 rport 9",
		"candidate:4 1 udp 1023 2001:db8::2 50000 typ relay raddr :: rport 9",
	}
	got := Lines(told)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("(-want +got):\n%s", diff)
	}
	for i, line := range got {
		if c, err := ParseCandidate(line); err != nil || c != told[i] {
			t.Errorf("%q is read as %v, %v", line, c, err)
		}
		if _, err := ice.UnmarshalCandidate(line); err != nil {
			t.Error(err)
		}
	}
}

// TestOwnLinesAreShort: what gathering takes fits into a candidates record.
func TestOwnLinesAreShort(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var all []Candidate
		for _, c := range rapid.SliceOfN(drawnCandidate, 0, 40).Draw(t, "found") {
			if HasRoom(all, c) {
				all = append(all, c)
			}
		}
		all = WithTURN(all, netip.AddrPortFrom(netip.MustParseAddr("2001:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), 65535))
		if n := len(AppendCandidates(nil, 1, all)); len(all) > MaxCandidates || n > maxCandidatesRecord {
			t.Fatalf("%d candidates of %d bytes, at most %d of %d are allowed", len(all), n, MaxCandidates, maxCandidatesRecord)
		}
		for _, line := range Lines(all) {
			if len(line) > maxOwnLine {
				t.Fatalf("%q has %d bytes, want at most %d", line, len(line), maxOwnLine)
			}
		}
	})
}

func TestCandidateLinesAreChecked(t *testing.T) {
	const good = "candidate:a+/9 1 udp 2130706431 192.0.2.1 14790 typ host"
	want := Candidate{webrtc.ICECandidateTypeHost, netip.MustParseAddrPort("192.0.2.1:14790")}
	for _, line := range []string{good, good + " generation 0 ufrag abcd", strings.Replace(good, "udp", "UDP", 1)} {
		if c, err := ParseCandidate(line); err != nil || c != want {
			t.Errorf("%q is read as %v, %v", line, c, err)
		}
	}
	for name, change := range map[string][2]string{
		"another type":      {"typ host", "typ later"},
		"a found type":      {"typ host", "typ prflx raddr 192.0.2.2 rport 9"},
		"TCP":               {"udp", "tcp"},
		"another component": {" 1 udp", " 2 udp"},
	} {
		if c, err := AddCandidate(nil, []byte(strings.Replace(good, change[0], change[1], 1))); err != nil || len(c) != 0 {
			t.Errorf("%s: %v, %v; want nothing", name, c, err)
		}
	}
	for name, change := range map[string][2]string{
		"no prefix":             {"candidate:", ""},
		"no foundation":         {"a+/9", ""},
		"long foundation":       {"a+/9", strings.Repeat("a", 33)},
		"other foundation":      {"a+/9", "a.9"},
		"component no number":   {" 1 udp", " x udp"},
		"another transport":     {"udp", "sctp"},
		"no priority":           {"2130706431", "0"},
		"high priority":         {"2130706431", "2147483648"},
		"priority no number":    {"2130706431", "-1"},
		"a name":                {"192.0.2.1", "peer.example.org"},
		"a name of mDNS":        {"192.0.2.1", "0a1b.local"},
		"a mapped address":      {"192.0.2.1", "::ffff:192.0.2.1"},
		"a zone":                {"192.0.2.1", "fe80::1%eth0"},
		"half an address":       {"192.0.2.1", "192.0.2"},
		"port 0":                {"14790", "0"},
		"a high port":           {"14790", "65536"},
		"no type":               {" typ host", ""},
		"another word":          {"typ", "type"},
		"two spaces":            {"udp ", "udp  "},
		"a letter of two bytes": {"typ host", "typ hóst"},
		"a line too long":       {"typ host", "typ host x " + strings.Repeat("y", maxLine)},
		"a second line":         {"typ host", "typ host\r\na=candidate:b 1 udp 1 192.0.2.2 9 typ host"},
		"related port":          {"typ host", "typ srflx raddr 192.0.2.2 rport x"},
	} {
		line := strings.Replace(good, change[0], change[1], 1)
		if c, err := AddCandidate(nil, []byte(line)); err == nil {
			t.Errorf("%s: %q is read as %v", name, line, c)
		}
	}
}

// FuzzParseCandidate parses anything; what is accepted means the same after another round,
// and is good enough for an ICE agent.
func FuzzParseCandidate(f *testing.F) {
	for _, line := range Lines(sampleCandidates()) {
		f.Add(line)
	}
	f.Add("candidate:1 1 tcp 1 192.0.2.1 9 typ host tcptype active")
	f.Add("candidate:842163049 1 udp 1677729535 203.0.113.1 9 typ srflx raddr 192.0.2.1 rport 9 generation 0 ufrag abcd network-cost 999")
	f.Fuzz(func(t *testing.T, line string) {
		c, err := ParseCandidate(line)
		if err != nil {
			return
		}
		own := Lines([]Candidate{c})[0]
		if again, err := ParseCandidate(own); err != nil || again != c {
			t.Fatalf("%q is %v, its own line %q is %v, %v", line, c, own, again, err)
		}
		agent, err := c.ICE(1).ToICE()
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if agent.Address() != c.Addr.Addr().String() || agent.Port() != int(c.Addr.Port()) {
			t.Fatalf("%q is %v to the agent", line, agent)
		}
		if slices.Contains([]webrtc.ICECandidateType{webrtc.ICECandidateTypeUnknown, webrtc.ICECandidateTypePrflx}, c.Type) {
			t.Fatalf("%q has type %v", line, c.Type)
		}
	})
}
