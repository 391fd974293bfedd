package driver_test

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"evio/driver/plane"
)

var (
	vip     = plane.Claim{Addr: netip.MustParseAddr("10.9.0.200"), MAC: [6]byte{2, 1}}
	vrrpMAC = plane.Claim{MAC: [6]byte{0, 0, 0x5e, 0, 1, 51}}
)

// What a container has claimed by itself outlives the plugin, and not its attachment.
func TestClaimsOutliveThePlugin(t *testing.T) {
	r := newRig(t)
	r.links = func(string) bool { return true }
	r.start()
	r.ok("CreateNetwork", createNetwork(net1))
	r.ok("CreateEndpoint", createEndpoint(net1, ep1, "10.9.0.2/24", ""))
	r.ok("Join", join(net1, ep1))
	r.plane.Claimed(net1, ep1, vip)
	r.plane.Claimed(net1, ep1, vip, vrrpMAC)
	r.plane.Claimed(net1, "unknown", vip)
	claims := func() []plane.Claim {
		e, _ := r.plane.Endpoint(net1, ep1)
		return e.Claims
	}
	same := func(want ...plane.Claim) bool {
		return cmp.Equal(want, claims(), cmpopts.EquateComparable(netip.Addr{}), cmpopts.EquateEmpty())
	}
	r.restart()
	eventually(t, "the endpoint is adopted with its claims", func() bool { return same(vip, vrrpMAC) })
	r.plane.Claimed(net1, ep1, vrrpMAC)
	r.restart()
	eventually(t, "the endpoint is adopted with what it claimed last", func() bool { return same(vrrpMAC) })
	r.ok("Leave", ids(net1, ep1))
	r.ok("Join", join(net1, ep1))
	if !same() {
		t.Errorf("a new container begins with %v", claims())
	}
	r.restart()
	eventually(t, "the endpoint is adopted", func() bool { _, ok := r.plane.Endpoint(net1, ep1); return ok })
	if !same() {
		t.Errorf("a new container begins with %v", claims())
	}
}
