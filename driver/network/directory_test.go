package network

import (
	"crypto/ed25519"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"evio/datapath/ovs"
	"evio/driver/network/admission"
	"evio/driver/plane"
	"evio/overlay"
	"evio/overlay/nodeid"
)

func TestMovedAddresses(t *testing.T) {
	m := moved{}
	entries := func(mac overlay.MAC, node nodeid.ID, addrs ...netip.Addr) *overlay.Table {
		all := []overlay.Entry{{MAC: mac, Node: node}}
		for _, a := range addrs {
			all = append(all, overlay.Entry{Addr: a, MAC: mac, Node: node})
		}
		return overlay.NewTable(all)
	}
	before := overlay.NewTable(nil)
	told := func(table *overlay.Table) (addrs []string) {
		var changes []overlay.Change
		for _, a := range []netip.Addr{their4, their6} {
			x, _ := before.Lookup(a)
			if y, _ := table.Lookup(a); x != y {
				changes = append(changes, overlay.Change{Addr: a, Before: x, After: y})
			}
		}
		before = table
		for _, e := range m.follow(changes) {
			addrs = append(addrs, e.Addr.String())
		}
		return addrs
	}
	for i, step := range []struct {
		table *overlay.Table
		want  []string
	}{
		{entries(theirs, there, their4, their6), nil}, // nobody can have known them before
		{entries(theirs, there, their4, their6), nil},
		{entries(theirs, here, their4, their6), nil}, // another node with the same MAC address
		{entries(theirs, here, their6), nil},
		{overlay.NewTable(nil), nil},
		{entries(ours, here, their4), []string{their4.String()}}, // after it was nobody's
		{entries(theirs, there, their4, their6), []string{their4.String()}},
		{overlay.NewTable([]overlay.Entry{{Addr: their4, MAC: ours, Node: here}}), nil}, // its MAC address is not the node's
	} {
		if diff := cmp.Diff(step.want, told(step.table)); diff != "" {
			t.Errorf("step %d: %s", i, diff)
		}
	}
	for i := range 3 * maxMoved {
		gone := netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)})
		m.follow([]overlay.Change{{Addr: gone, Before: overlay.Entry{Addr: gone, MAC: ours, Node: here}}})
	}
	if len(m) != maxMoved {
		t.Errorf("%d addresses are remembered", len(m))
	}
}

// While a network is local there is nobody else.
func TestContainerPortOfALocalNetwork(t *testing.T) {
	n := bare(t)
	spec := plane.EndpointSpec{HostIf: "h", MAC: ours, Addrs: []netip.Addr{our4, our6}}
	want := ovs.Port{Name: "h", Role: ovs.Container, MACs: []ovs.MAC{ours}, Addrs: []netip.Addr{admission.Made(ours), our4, our6}}
	equal := cmpopts.EquateComparable(netip.Addr{})
	if diff := cmp.Diff(want, n.containerPort(&endpoint{spec: spec}, nil), equal); diff != "" {
		t.Error(diff)
	}
	if err := n.check(t.Context(), spec); err != nil {
		t.Error(err)
	}
	node := overlay.New(overlay.Config{Overlay: "blue", Key: ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)), Log: quiet()})
	n.node.Store(node)
	if diff := cmp.Diff(want, n.containerPort(&endpoint{spec: spec}, nil), equal); diff != "" {
		t.Errorf("before anything is claimed: %s", diff)
	}
}
