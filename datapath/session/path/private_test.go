package path

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/pion/webrtc/v4"
)

// TestPrivateTargetsAreBounded: of a peer's candidates all public ones and all near ones are
// tried, and a few private ones elsewhere.
func TestPrivateTargetsAreBounded(t *testing.T) {
	hosts := []netip.AddrPort{netip.MustParseAddrPort("10.1.0.1:4000"), netip.MustParseAddrPort("[fd00:1:2::1]:4000")}
	candidates := func(format string, n int) (all []Candidate) {
		for i := range n {
			all = append(all, Candidate{Type: webrtc.ICECandidateTypeHost, Addr: netip.MustParseAddrPort(fmt.Sprintf(format, i+1))})
		}
		return all
	}
	for _, c := range []struct {
		format string
		want   int
	}{
		{"203.0.113.%d:1", MaxCandidates}, {"[2001:db8::%d]:1", MaxCandidates},
		{"10.1.99.%d:1", MaxCandidates}, {"[fd00:1:2:3::%d]:1", MaxCandidates},
		{"10.2.0.%d:1", maxPrivate}, {"172.16.0.%d:1", maxPrivate}, {"192.168.1.%d:1", maxPrivate},
		{"100.64.0.%d:1", maxPrivate}, {"[fd00:9:9::%d]:1", maxPrivate},
	} {
		kept, removed := LimitPrivate(candidates(c.format, MaxCandidates), hosts)
		if len(kept) != c.want {
			t.Errorf("%s: %d of %d are tried, want %d", c.format, len(kept), MaxCandidates, c.want)
		}
		if removed != uint64(MaxCandidates-c.want) {
			t.Errorf("%s: %d are counted", c.format, removed)
		}
	}
	both := append(candidates("10.2.0.%d:1", 6), candidates("[fd00:9:9::%d]:1", 6)...)
	if kept, _ := LimitPrivate(both, hosts); len(kept) != maxPrivate {
		t.Errorf("%d of both families are tried, want %d", len(kept), maxPrivate)
	}
}
