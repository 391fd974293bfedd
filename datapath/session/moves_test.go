package session

import (
	"bytes"
	"net/netip"
	"testing"
	"time"

	"evio/datapath/udp"
)

func TestPathFollowsANATThatMapsAnew(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network, a, b *end) {
		before, after := netip.MustParseAddrPort("198.51.100.1:61000"), netip.MustParseAddrPort("198.51.100.1:61001")
		n.translate(a.addr(), before)
		establish(t, a, b)
		if got := b.session.Info().Remote; got != before {
			t.Fatalf("path leads to %v, want %v", got, before)
		}
		n.translate(a.addr(), after)
		if err := a.session.Send(Data, [][]byte{{1}}); err != nil {
			t.Fatal(err)
		}
		advance(time.Second)
		info := b.session.Info()
		if info.Remote != after || info.Moves != 1 {
			t.Errorf("path leads to %v after %d moves, want %v after one", info.Remote, info.Moves, after)
		}
		swap(t, a, b)
		if drops := b.session.Info().Drops; drops["record_replayed"]+drops["path_limit"] != 0 {
			t.Errorf("drops = %v, want nothing taken for old or too much", drops)
		}
	})
}

// cutUplink drops what an address sends and receives.
func cutUplink(addr netip.Addr) func(from, to netip.AddrPort, d []byte) [][]byte {
	return func(from, to netip.AddrPort, d []byte) [][]byte {
		if from.Addr() == addr || to.Addr() == addr {
			return nil
		}
		return [][]byte{d}
	}
}

func TestSecondUplinkTakesOver(t *testing.T) {
	for pause := time.Duration(0); pause < 1500*time.Millisecond; pause += 170 * time.Millisecond {
		bubble(t, []string{"192.0.2.1:4000", "198.51.100.1:4000"}, []string{"192.0.2.2:4000"}, func(t *testing.T, n *network, a, b *end) {
			establish(t, a, b)
			advance(10*time.Second + pause)
			used := a.session.Info().Local.Addr()
			n.impair(cutUplink(used))
			advance(4 * time.Second)
			for _, e := range []*end{a, b} {
				if state := e.session.State(); state != Established {
					t.Fatalf("pause %v: session is %v, want established", pause, state)
				}
			}
			if now := a.session.Info().Local.Addr(); now == used {
				t.Errorf("pause %v: path still begins at %v", pause, now)
			}
			swap(t, a, b)
		})
	}
}

// TestSecondUplinkBehindFilters has both ends let in only what answers: they must
// search at the same time, however far apart they notice.
func TestSecondUplinkBehindFilters(t *testing.T) {
	for pause := time.Duration(0); pause < 1500*time.Millisecond; pause += 110 * time.Millisecond {
		bubble(t, []string{"192.0.2.1:4000", "198.51.100.1:4000"}, []string{"192.0.2.2:4000"}, func(t *testing.T, n *network, a, b *end) {
			type flow struct{ from, to netip.AddrPort }
			sent, cut := map[flow]bool{}, netip.Addr{}
			n.impair(func(from, to netip.AddrPort, d []byte) [][]byte {
				sent[flow{from, to}] = true
				if from.Addr() == cut || to.Addr() == cut || !sent[flow{to, from}] {
					return nil
				}
				return [][]byte{d}
			})
			establish(t, a, b)
			advance(10*time.Second + pause)
			n.mu.Lock()
			cut = a.session.path.Load().Local.Addr()
			clear(sent)
			n.mu.Unlock()
			advance(4 * time.Second)
			if sa, sb := a.session.State(), b.session.State(); sa != Established || sb != Established {
				t.Fatalf("pause %v: sessions are %v and %v, want established", pause, sa, sb)
			}
			swap(t, a, b)
		})
	}
}

func TestChangedAddressIsToldAndFollowed(t *testing.T) {
	bubble(t, []string{"192.0.2.1:4000", "198.51.100.1:4000"}, []string{"192.0.2.2:4000"}, func(t *testing.T, _ *network, a, b *end) {
		establish(t, a, b)
		advance(3 * time.Second)
		gone, later := a.session.Info().Local, netip.MustParseAddrPort("198.51.100.77:4000")
		var left netip.AddrPort
		for _, addr := range a.socket().addrs {
			if addr != gone {
				left = addr
			}
		}
		a.socket().renumber(left)
		a.transport.AddressesChanged()
		advance(200 * time.Millisecond)
		if info := a.session.Info(); info.Local != left {
			t.Errorf("path begins at %v 200 ms after its address has gone, want %v", info.Local, left)
		}
		// All addresses at once: the new one finds the peer, which hears of it.
		a.socket().renumber(later)
		a.transport.AddressesChanged()
		advance(time.Second)
		for _, e := range []*end{a, b} {
			if info := e.session.Info(); info.State != Established || info.Drops["probe_unknown"] != 0 {
				t.Errorf("session is %v with drops %v", info.State, info.Drops)
			}
		}
		if got := b.session.Info(); got.Remote != later || got.RemoteType != "host" {
			t.Errorf("path leads to %v %v, want host %v", got.RemoteType, got.Remote, later)
		}
		swap(t, a, b)
	})
}

// TestAddressThatChangesDuringAQuery has the second change come while STUN servers
// that do not answer are still asked about the first.
func TestAddressThatChangesDuringAQuery(t *testing.T) {
	bubble(t, []string{"192.0.2.1:4000", "198.51.100.1:4000"}, []string{"192.0.2.2:4000"}, func(t *testing.T, _ *network, a, b *end) {
		a.names("slow:3478")
		establish(t, a, b)
		left, later := a.session.Info().Local, netip.MustParseAddrPort("198.51.100.77:4000")
		a.socket().renumber(left)
		a.transport.AddressesChanged()
		advance(300 * time.Millisecond)
		a.socket().renumber(later)
		a.transport.AddressesChanged()
		advance(10 * time.Second)
		if told := a.session.candidates(); len(told) != 1 || told[0].Addr != later {
			t.Errorf("the peer is told %v, want %v alone", told, later)
		}
		swap(t, a, b)
	})
}

func TestManyMovesLoseNothing(t *testing.T) {
	bubble(t, []string{"192.0.2.1:4000", "198.51.100.1:4000"}, []string{"192.0.2.2:4000"}, func(t *testing.T, n *network, a, b *end) {
		establish(t, a, b)
		for range 10 {
			n.impair(cutUplink(a.session.Info().Local.Addr()))
			advance(5 * time.Second)
			swap(t, a, b)
		}
		for _, e := range []*end{a, b} {
			info := e.session.Info()
			if info.Moves < 10 || info.Drops["record_replayed"] != 0 || info.Drops["record_slot"] != 0 {
				t.Errorf("%d moves with drops %v, want 10 and nothing taken for old", info.Moves, info.Drops)
			}
		}
	})
}

// TestRepeatedRecordsMoveNothing has a stranger overtake the peer: each record of
// the peer comes first from a forged source, another each time.
func TestRepeatedRecordsMoveNothing(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network, a, b *end) {
		establish(t, a, b)
		forged := netip.MustParsePrefix("203.0.113.0/24")
		sources, targets := 0, map[netip.AddrPort]int{}
		n.impair(func(_, to netip.AddrPort, d []byte) [][]byte {
			if forged.Contains(to.Addr()) {
				targets[to]++
				return nil
			}
			if to == b.addr() && udp.Classify(d) == udp.Record {
				sources++
				at := netip.AddrFrom4([4]byte{203, 0, 113, byte(sources)})
				n.injectLocked(netip.AddrPortFrom(at, uint16(1024+sources/256)), to, bytes.Clone(d))
			}
			return [][]byte{d}
		})
		const frames, pace = 2000, 10 * time.Millisecond
		for range frames {
			if err := a.session.Send(Data, [][]byte{{1}}); err != nil {
				t.Fatal(err)
			}
			advance(pace)
		}
		n.impair(nil)
		info := b.session.Info()
		if info.Moves != 0 || info.Remote != a.addr() || info.State != Established {
			t.Errorf("session is %v, path leads to %v after %d moves, want %v", info.State, info.Remote, info.Moves, a.addr())
		}
		if state := a.session.State(); state != Established {
			t.Errorf("the peer's session is %v: who repeats its requests has taken the answers", state)
		}
		if info.Drops["path_limit"] == 0 || info.OffPath < frames {
			t.Errorf("drops = %v, %d from elsewhere, want them counted", info.Drops, info.OffPath)
		}
		// Four a second are challenged. Answers to repeated requests go to the forged
		// addresses; the peer sends as many requests as it has challenges and probes.
		if most := 4*int(frames*pace/time.Second+1) + int(2*frames*pace/time.Second); len(targets) > most {
			t.Errorf("datagrams went to %d forged addresses, want at most %d", len(targets), most)
		}
	})
}
