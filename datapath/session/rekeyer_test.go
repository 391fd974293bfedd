package session

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"evio/datapath/record"
	"evio/datapath/session/path"
	"evio/datapath/session/rekey"
)

func TestKeysAreReplacedUnderTraffic(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network, a, b *end) {
		lower, higher := establishFor(t, a, b, 10*time.Second)
		s := &streams{ends: [2]*end{lower, higher}}
		s.run(t, 35*time.Second, 50*time.Millisecond)
		s.check(t, n)
		info := lower.session.Info()
		if info.Rekeys != 3 || info.Generation != 3 || time.Since(info.Rekeyed) > 12*time.Second {
			t.Errorf("after 35 s: %d rekeys, generation %d, the last at %v, want 3", info.Rekeys, info.Generation, info.Rekeyed)
		}
		if set := lower.session.keys.Load(); set.Pending != nil {
			t.Error("there are pending keys")
		}
		lower.transport.config.RekeyEvery = time.Hour
	})
}

// TestLossOfEachDatagramOfARekey drops the first datagram after a rekey has begun,
// or the second, and so on.
func TestLossOfEachDatagramOfARekey(t *testing.T) {
	const settled = 60 // datagrams, of traffic too: more than a rekey takes
	for nth := range settled {
		inBubble(t, func(t *testing.T, n *network, a, b *end) {
			lower, higher := establishFor(t, a, b, time.Hour)
			s := &streams{ends: [2]*end{lower, higher}}
			advance(rekey.MinInterval)
			soon(lower)
			passed := 0
			s.lossy(n, func(netip.AddrPort, []byte) bool { passed++; return passed == nth+1 })
			s.run(t, 4*time.Second, 25*time.Millisecond)
			s.check(t, n)
			if got := lower.session.Info().Rekeys; got != 1 {
				t.Errorf("datagram %d lost: %d rekeys, want 1", nth, got)
			}
		})
	}
}

func TestRekeysUnderRandomLoss(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network, a, b *end) {
		lower, higher := establishFor(t, a, b, 2*time.Second)
		s := &streams{ends: [2]*end{lower, higher}}
		random := rand.New(rand.NewPCG(5, 6))
		s.lossy(n, func(netip.AddrPort, []byte) bool { return random.IntN(6) == 0 })
		s.run(t, 60*time.Second, 50*time.Millisecond)
		s.lossy(n, nil)
		s.check(t, n)
		if got := lower.session.Info().Rekeys; got < 3 {
			t.Errorf("%d rekeys in a minute, want at least 3", got)
		}
	})
}

// TestRekeyThatOneEndDoesNotComplete loses all flights of one direction from one on,
// so that the rekey fails at an end, at both, or not at all. The session serves, the
// next rekey mends it, and no generation is used twice.
func TestRekeyThatOneEndDoesNotComplete(t *testing.T) {
	for from := range 2 {
		for first := range 4 {
			inBubble(t, func(t *testing.T, n *network, a, b *end) {
				lower, higher := establishFor(t, a, b, time.Hour)
				s := &streams{ends: [2]*end{lower, higher}}
				advance(rekey.MinInterval)
				soon(lower)
				flights := 0
				s.lossy(n, func(sender netip.AddrPort, d []byte) bool {
					if sender != s.ends[from].addr() || !ofRekey(d) {
						return false
					}
					flights++
					return flights > first
				})
				s.run(t, 20*time.Second, 50*time.Millisecond)
				if failed := lower.session.Info().Rekeys == 0; !failed && first == 0 {
					t.Error("keys were replaced without a handshake")
				}
				s.lossy(n, nil)
				s.run(t, 40*time.Second, 50*time.Millisecond)
				s.check(t, n)
				if got := lower.session.Info(); got.Rekeys != 1 || got.Generation > 2 {
					t.Errorf("end %d, flight %d: %d rekeys, generation %d, want one", from, first, got.Rekeys, got.Generation)
				}
			})
		}
	}
}

// TestRecordsUnderNewKeysAreLostForAWhile: both ends have made keys, and one hears
// nothing under them for a second.
func TestRecordsUnderNewKeysAreLostForAWhile(t *testing.T) {
	for from := range 2 {
		inBubble(t, func(t *testing.T, n *network, a, b *end) {
			lower, higher := establishFor(t, a, b, time.Hour)
			s := &streams{ends: [2]*end{lower, higher}}
			advance(rekey.MinInterval)
			soon(lower)
			s.lossy(n, func(sender netip.AddrPort, d []byte) bool {
				return sender == s.ends[from].addr() && record.Generation(d) == 1
			})
			s.run(t, time.Second, 50*time.Millisecond)
			s.lossy(n, nil)
			s.run(t, 2*time.Second, 50*time.Millisecond)
			s.check(t, n)
			if got := lower.session.Info().Rekeys; got != 1 {
				t.Errorf("%d rekeys, want 1", got)
			}
		})
	}
}

func TestBothEndsWantNewKeysAtOnce(t *testing.T) {
	wants := map[string][2]bool{"lower": {true, false}, "higher": {false, true}, "both": {true, true}}
	for name, want := range wants {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, n *network, a, b *end) {
				lower, higher := establishFor(t, a, b, time.Hour)
				s := &streams{ends: [2]*end{lower, higher}}
				advance(rekey.MinInterval)
				for i, e := range s.ends {
					if want[i] {
						soon(e)
					}
				}
				s.run(t, time.Minute, 50*time.Millisecond)
				s.check(t, n)
				if got := higher.session.Info().Rekeys; got != 1 {
					t.Errorf("%d rekeys, want 1", got)
				}
			})
		})
	}
}

func TestGenerationsWrap(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network, a, b *end) {
		const rekeys = 600
		lower, higher := establishFor(t, a, b, 400*time.Millisecond)
		s := &streams{ends: [2]*end{lower, higher}}
		for lower.session.Info().Rekeys < rekeys {
			s.run(t, time.Second, 100*time.Millisecond)
			if n := lower.session.State(); n != Established {
				t.Fatalf("session is %v after %d rekeys", n, lower.session.Info().Rekeys)
			}
		}
		s.check(t, n)
		if info := lower.session.Info(); uint64(info.Generation) != info.Rekeys%256 {
			t.Errorf("generation %d after %d rekeys", info.Generation, info.Rekeys)
		}
	})
}

func TestSessionEndsBeforeItWouldUseANumberTwice(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network, a, b *end) {
		lower, _ := establishFor(t, a, b, time.Hour)
		n.impair(func(_, _ netip.AddrPort, d []byte) [][]byte {
			if ofRekey(d) {
				return nil
			}
			return [][]byte{d}
		})
		advance(rekey.MinInterval)
		count(lower, 1<<48-1)
		before := len(n.sent())
		if err := lower.session.Send(Data, [][]byte{{1}}); err != nil {
			t.Fatal(err)
		}
		if err := lower.session.Send(Data, [][]byte{{2}}); !errors.Is(err, record.ErrExhausted) {
			t.Errorf("record after the last: %v, want %v", err, record.ErrExhausted)
		}
		if err := await(t, lower.closed, "Closed"); !errors.Is(err, ErrExhausted) {
			t.Errorf("closed with %v, want %v", err, ErrExhausted)
		}
		for _, d := range n.sent()[before:] {
			if bytes.HasSuffix(d, []byte{2}) && len(d) < record.Overhead {
				t.Errorf("%x was sent", d)
			}
		}
		a.session.Close()
		b.session.Close()
	})
}

// TestPreviousKeysAreReadForHalfAMinute replays and delays across a rekey: a record
// under the previous keys opens once, and not at all when they are wiped.
func TestPreviousKeysAreReadForHalfAMinute(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network, a, b *end) {
		lower, higher := establishFor(t, a, b, time.Hour)
		var held [][]byte
		n.impair(func(_, _ netip.AddrPort, d []byte) [][]byte {
			if len(d) == trafficRecord {
				held = append(held, bytes.Clone(d))
				return nil
			}
			return [][]byte{d}
		})
		s := &streams{ends: [2]*end{lower, higher}}
		for range 3 {
			s.send(t)
		}
		n.impair(nil)
		advance(rekey.MinInterval)
		soon(higher)
		advance(2 * path.ProbeInterval)
		if got := higher.session.Info().Generation; got != 1 {
			t.Fatalf("generation %d, want 1", got)
		}
		mine := func(d []byte) bool { return bytes.Equal(d[1:5], index(higher)) }
		for _, d := range held {
			if mine(d) {
				n.inject(lower.addr(), higher.addr(), d)
				n.inject(lower.addr(), higher.addr(), d)
				break
			}
		}
		advance(time.Second)
		if got := len(higher.received); got != 1 {
			t.Errorf("a record under the previous keys was delivered %d times, want once", got)
		}
		if info := higher.session.Info(); info.Drops["record_replayed"] != 1 || info.Generation != 1 {
			t.Errorf("drops %v, generation %d, want one replay and generation 1", info.Drops, info.Generation)
		}
		advance(rekey.PreviousKept)
		if higher.session.keys.Load().Previous != nil || lower.session.keys.Load().Previous != nil {
			t.Error("the previous keys are still there")
		}
		refused := higher.session.Info().Drops["record_slot"]
		for _, d := range held {
			if mine(d) {
				n.inject(lower.addr(), higher.addr(), d)
			}
		}
		advance(time.Second)
		if got := len(higher.received); got != 1 {
			t.Errorf("%d records under wiped keys were delivered", got-1)
		}
		if got := higher.session.Info().Drops["record_slot"] - refused; got != 3 {
			t.Errorf("%d records under wiped keys were counted, want 3", got)
		}
	})
}

// TestAllSlotsServeDuringARekey sends on every slot in the midst of a rekey and
// after it, as a session does whose path changes.
func TestAllSlotsServeDuringARekey(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network, a, b *end) {
		lower, higher := establishFor(t, a, b, time.Hour)
		advance(rekey.MinInterval)
		soon(lower)
		sent := 0
		for range 60 {
			for slot := range record.Slots {
				sealed := seal(t, &lower.session.keys.Sending().Send[slot], record.AppendWhole(nil, uint8(Data), []byte{byte(slot)}))
				n.inject(lower.addr(), higher.addr(), sealed)
				sent++
			}
			advance(5 * time.Millisecond)
		}
		advance(2 * path.ProbeInterval)
		synctest.Wait()
		if got := len(higher.received); got != sent {
			t.Errorf("%d of %d records arrived", got, sent)
		}
		if got := higher.session.Info().Generation; got != 1 {
			t.Errorf("generation %d, want 1", got)
		}
	})
}

// TestStrangersCannotDisturbARekey injects handshake datagrams, alerts and changed
// records while keys are replaced.
func TestStrangersCannotDisturbARekey(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network, a, b *end) {
		lower, higher := establishFor(t, a, b, time.Hour)
		s := &streams{ends: [2]*end{lower, higher}}
		random := rand.New(rand.NewPCG(7, 8))
		var seen [][]byte
		n.impair(func(_, to netip.AddrPort, d []byte) [][]byte {
			target := lower
			if to == higher.addr() {
				target = higher
			}
			seen = append(seen, bytes.Clone(d))
			alert := append(append([]byte{192}, index(target)...), 1, 2, 3, 4, 5, 6, 7, 8, 21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 9, 0, 2, 2, 40)
			forged := bytes.Clone(d)
			forged[6] ^= byte(random.IntN(2))
			forged[7+random.IntN(len(d)-7)] ^= 1
			return [][]byte{alert, forged, bytes.Clone(seen[random.IntN(len(seen))]), d}
		})
		advance(rekey.MinInterval)
		soon(lower)
		s.run(t, 5*time.Second, 50*time.Millisecond)
		s.check(t, n)
		if got := lower.session.Info().Rekeys; got != 1 {
			t.Errorf("%d rekeys, want 1", got)
		}
	})
}

func index(e *end) []byte {
	i := e.session.index
	return []byte{byte(i >> 24), byte(i >> 16), byte(i >> 8), byte(i)}
}
