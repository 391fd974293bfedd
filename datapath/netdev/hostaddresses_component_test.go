//go:build component

package netdev

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
)

// TestSilence: whatever addresses a device has been given, and whatever the kernel makes
// on it, it has none afterwards.
func TestSilence(t *testing.T) {
	if err := CreateVeth("host0", "cont0", 1400, testMAC); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = Delete("host0") })
	if err := netlink.LinkSetUp(link(t, "cont0")); err != nil {
		t.Fatal(err)
	}
	index, err := Index("host0")
	if err != nil {
		t.Fatal(err)
	}
	held := func() []netip.Prefix {
		all, err := HostAddresses()
		if err != nil {
			t.Fatal(err)
		}
		return all[index]
	}
	if got := held(); len(got) != 0 {
		t.Fatalf("a new device has %v", got)
	}
	given := []string{"169.254.77.1/16", "169.254.77.2/16", "10.1.2.3/32", "fd00:77::1/64", "fe80::77/64"}
	for _, text := range given {
		addr, err := netlink.ParseAddr(text)
		if err != nil {
			t.Fatal(err)
		}
		if err := netlink.AddrAdd(link(t, "host0"), addr); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
	// What makes the kernel forget that it is to make no address by itself.
	for _, mtu := range []int{1000, 1400} {
		if err := netlink.LinkSetMTU(link(t, "host0"), mtu); err != nil {
			t.Fatal(err)
		}
	}
	ownLinkLocal := func(p netip.Prefix) bool {
		return p.Addr().Is6() && p.Addr().IsLinkLocalUnicast() && p.Addr() != netip.MustParseAddr("fe80::77")
	}
	deadline := time.Now().Add(5 * time.Second)
	for !slices.ContainsFunc(held(), ownLinkLocal) {
		if time.Now().After(deadline) {
			t.Fatalf("the kernel has made no link-local address: %v", held())
		}
	}
	if got := held(); !slices.Contains(got, netip.MustParsePrefix("169.254.77.1/16")) {
		t.Fatalf("before: %v", got)
	}
	if err := Silence("host0"); err != nil {
		t.Fatal(err)
	}
	if err := SetUp("host0", 1400); err != nil {
		t.Fatal(err)
	}
	if got := held(); len(got) != 0 {
		t.Errorf("after: %v", got)
	}
	if err := Silence("host0"); err != nil {
		t.Errorf("with none: %v", err)
	}
	if err := Silence("none0"); err == nil {
		t.Error("a device that does not exist is silenced")
	}
}
