package session

import (
	"bytes"
	"net/netip"
	"testing"
	"time"
)

// TestReplayedCheckMakesNoReflector replays one genuine check from many forged
// addresses: the agent may try few of them, and still finds its peer.
func TestReplayedCheckMakesNoReflector(t *testing.T) {
	const (
		forgeries = 2000
		batch     = 50
		places    = 32
	)
	inBubble(t, func(t *testing.T, n *network, a, b *end) {
		var check []byte
		n.impair(func(_, to netip.AddrPort, datagram []byte) [][]byte {
			if check == nil && to == a.addr() && datagram[0] < 4 {
				check = bytes.Clone(datagram)
			}
			return nil
		})
		a.open(t, b, nil)
		b.open(t, a, nil)
		connectEnds(t, a, b)
		advance(50 * time.Millisecond)

		forged := netip.MustParsePrefix("203.0.113.0/24")
		sent, targets := 0, make(map[netip.AddrPort]bool)
		n.impair(func(_, to netip.AddrPort, _ []byte) [][]byte {
			if !forged.Contains(to.Addr()) {
				return nil
			}
			sent++
			targets[to] = true
			return nil
		})
		if check == nil {
			t.Fatal("the peer sends no check")
		}
		for i := range forgeries {
			n.inject(netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, 0, 113, byte(i)}), uint16(1024+i/256)), a.addr(), check)
			if i%batch == batch-1 {
				advance(n.delay)
			}
		}
		advance(time.Second)
		n.impair(nil)
		if len(targets) == 0 || len(targets) > places {
			t.Errorf("%d datagrams went to %d forged addresses, want 1 to %d addresses", sent, len(targets), places)
		}
		dropped := a.transport.Stats().Drops["stun_source"]
		if dropped < forgeries-places {
			t.Errorf("%d requests dropped for their source, want at least %d", dropped, forgeries-places)
		}
		await(t, a.established, "Established")
		await(t, b.established, "Established")
		if got := a.transport.Stats().Drops["stun_source"]; got != dropped {
			t.Errorf("%d checks of the peer were dropped for their source, want none", got-dropped)
		}
	})
}
