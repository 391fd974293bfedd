package session

import (
	"net/netip"
	"testing"
	"time"
)

func TestPeersHaveFewPlacesForLong(t *testing.T) {
	var a turnAdmission
	mine, other := [32]byte{1}, [32]byte{2}
	at := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)}) }
	for i := range maxTURNAddresses {
		if !a.admit(time.Duration(i), mine, at(i)) {
			t.Fatalf("address %d is refused", i)
		}
	}
	if a.admit(time.Minute, mine, at(maxTURNAddresses)) {
		t.Error("an address too many is admitted")
	}
	if !a.admit(time.Minute, mine, at(0)) || !a.admit(time.Minute, other, at(maxTURNAddresses)) {
		t.Error("an address with a place, or of another peer, is refused")
	}
	if a.admit(turnAddressTime-1, mine, at(maxTURNAddresses)) {
		t.Error("a place is given away too early")
	}
	if now := turnAddressTime + time.Second; !a.admit(now, mine, at(maxTURNAddresses)) || len(a.peers[mine]) != 2 {
		t.Errorf("%d places are taken, want that in use and the new one", len(a.peers[mine]))
	}
	if a.admit(3*turnAddressTime, [32]byte{3}, at(0)); len(a.peers) != 1 {
		t.Errorf("%d peers are remembered, want one", len(a.peers))
	}
}
