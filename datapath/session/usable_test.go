package session

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/pion/webrtc/v4"

	"evio/datapath/drops"
	"evio/datapath/icemux"
	"evio/datapath/session/path"
)

// TestRefusedCandidatesAreCounted: a peer's candidates beyond those that may be tried are
// counted.
func TestRefusedCandidatesAreCounted(t *testing.T) {
	s := &Session{transport: &Transport{filter: icemux.HostFilter{}}, hosts: []netip.AddrPort{netip.MustParseAddrPort("10.1.0.1:4000")}}
	var private []path.Candidate
	for i := range path.MaxCandidates {
		addr := netip.MustParseAddrPort(fmt.Sprintf("192.168.1.%d:1", i+1))
		private = append(private, path.Candidate{Type: webrtc.ICECandidateTypeHost, Addr: addr})
	}
	kept := len(s.usable(private))
	if kept == 0 || kept == len(private) {
		t.Fatalf("%d of %d are tried", kept, len(private))
	}
	if counted := s.drops.Get(drops.PathLimit); counted != uint64(len(private)-kept) {
		t.Errorf("%d of %d are tried, and %d are counted", kept, len(private), counted)
	}
}
