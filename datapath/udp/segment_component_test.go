//go:build component

package udp

import (
	"bytes"
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"
)

// TestRouteThatCannotBeCutFor: where the MTU is below the datagrams' size the kernel does not
// cut runs. They arrive all the same, in fragments, and smaller ones are cut as before.
func TestRouteThatCannotBeCutFor(t *testing.T) {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		t.Fatal(err)
	}
	before := lo.Attrs().MTU
	t.Cleanup(func() { _ = netlink.LinkSetMTU(lo, before) })
	if err := netlink.LinkSetMTU(lo, 1280); err != nil {
		t.Fatal(err)
	}
	for _, addr := range []string{"127.0.0.1", "::1"} {
		a, b := pairOf(t, everything, everything)
		const datagrams = 20
		send := func(size int) {
			t.Helper()
			var all [][]byte
			for i := range datagrams {
				all = append(all, pattern(FirstRecord, i, size))
			}
			sent, err := a.SendRuns(a.Source(netip.MustParseAddr(addr)), loopback(b, addr), []Run{run(size, all...)})
			if sent != datagrams || err != nil {
				t.Fatalf("%s, %d bytes: %d sent, %v", addr, size, sent, err)
			}
			var got [][]byte
			for len(got) < datagrams {
				vector, err := b.conn.Load().Receive()
				if err != nil {
					t.Fatal(err)
				}
				for _, d := range vector {
					got = append(got, bytes.Clone(d.Data))
				}
			}
			if !bytes.Equal(bytes.Join(got, nil), bytes.Join(all, nil)) {
				t.Errorf("%s, %d bytes: others have arrived than were sent", addr, size)
			}
		}
		for _, step := range []struct {
			size         int
			calls, uncut uint64 // system calls, and refusals so far
		}{{1400, 2, 1}, {1400, 1, 1}, {1100, 1, 1}} {
			calls := a.Stats().SendCalls
			send(step.size)
			stats := a.Stats()
			if got := stats.SendCalls - calls; got != step.calls || stats.Uncut != step.uncut || a.Offloads().Refused != 1 {
				t.Errorf("%s, %d bytes: %d system calls, %d refusals on %d routes; want %d, %d on 1", addr, step.size, got, stats.Uncut, a.Offloads().Refused, step.calls, step.uncut)
			}
		}
	}
}
