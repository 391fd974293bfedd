package session

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"evio/datapath/record"
	"evio/datapath/session/connect"
	"evio/datapath/session/path"
	"evio/datapath/udp"
)

// strangers returns a full list of candidates that no list before had.
func strangers(list int) (candidates []path.Candidate) {
	for i := range path.MaxCandidates {
		at := netip.MustParseAddrPort(fmt.Sprintf("198.18.%d.%d:4000", list, i))
		candidates = append(candidates, path.Candidate{Type: webrtc.ICECandidateTypeHost, Addr: at})
	}
	return candidates
}

// sendCandidatesAs sends a candidates record in the name of a session.
func sendCandidatesAs(s *Session, sequence uint32, candidates []path.Candidate) {
	s.sendOwn(Probe, func(dst []byte) []byte { return path.AppendCandidates(dst, sequence, candidates) })
}

func (p *pool) permitted() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.current.mu.Lock()
	defer p.current.mu.Unlock()
	return len(p.current.permitted)
}

// TestPeerTakesFewPlacesAtTheRelay has a peer send other candidates all the time:
// by records, by an address that records come from, and by one session after another.
func TestPeerTakesFewPlacesAtTheRelay(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network, a, b *end) {
		p := n.turnOf(a, "203.0.113.1:50000")
		n.blockDirect()
		for round := range 2 {
			establishRelayed(t, a, b)
			for i := range 10 {
				sendCandidatesAs(b.session, uint32(100+i), strangers(16*round+i))
				advance(1100 * time.Millisecond)
			}
			if got := p.permitted(); got > 32 {
				t.Errorf("a peer has %d addresses permitted, want at most 32", got)
			}
			if a.session.Info().Drops["path_limit"] == 0 {
				t.Error("addresses that were not permitted are not counted")
			}
			if _, err := a.session.path.Load().out.SendRuns(netip.MustParseAddrPort("198.19.0.1:1"), []udp.Run{{Bytes: []byte{0}, Size: 1}}); err == nil {
				t.Error("the relay sends to an address that is not permitted")
			}
			swap(t, a, b)
			if round == 0 {
				a.session.Close()
				b.session.Close()
				a.waitClosed(t)
				b.waitClosed(t)
			}
		}
	})
}

// TestCandidatesAreTakenAtAPace floods an established session with candidates: few
// lists are taken, the last one is.
func TestCandidatesAreTakenAtAPace(t *testing.T) {
	inBubble(t, func(t *testing.T, _ *network, a, b *end) {
		establish(t, a, b)
		const records = 200
		last := append(strangers(255), path.Candidate{Type: webrtc.ICECandidateTypeRelay, Addr: b.addr()})[1:]
		for i := range records {
			list := strangers(i)
			if i == records-1 {
				list = last
			}
			sendCandidatesAs(b.session, uint32(100+i), list)
			advance(time.Millisecond)
		}
		advance(5 * time.Second)
		info := a.session.Info()
		if got := info.Drops["path_limit"]; got < records-10 {
			t.Errorf("%d lists were left out, want nearly all", got)
		}
		if info.RemoteType != "relay" {
			t.Errorf("the peer's end is of type %s, want what the last list says", info.RemoteType)
		}
	})
}

// TestPeerConnectsAgainAndAgain has newer parameters with the same credentials and
// other candidates each time.
func TestPeerConnectsAgainAndAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network, a, b *end) {
		targets := map[netip.AddrPort]bool{}
		n.impair(func(from, to netip.AddrPort, _ []byte) [][]byte {
			if from == a.addr() {
				targets[to] = true
			}
			return nil
		})
		a.open(t, b, nil)
		b.open(t, a, nil)
		peer, err := connect.ParseParameters(b.own)
		if err != nil {
			t.Fatal(err)
		}
		lists := 0
		for ; len(a.closed) == 0 && lists < 21; lists++ {
			peer.Candidates = strangers(lists)
			if err := a.session.Connect(peer.Append(nil), [32]byte{byte(lists)}); err != nil && !errors.Is(err, ErrClosed) {
				t.Fatalf("Connect %d: %v", lists, err)
			}
			advance(time.Second)
		}
		n.impair(nil)
		if len(a.closed) == 0 || lists < 15 {
			t.Errorf("the session has ended: %v, %d s after the first Connect, want it after 15 to 20 s", len(a.closed) > 0, lists)
		}
		if len(targets) > 32 {
			t.Errorf("checks went to %d addresses, want at most 32", len(targets))
		}
	})
}

// TestForgedRecordsAreNoOtherSecret ends a handshake whose records are lost, while a
// stranger sends some that do not open.
func TestForgedRecordsAreNoOtherSecret(t *testing.T) {
	for name, from := range map[string]struct {
		peer  bool
		count int
	}{"from elsewhere": {false, 100}, "few as if from the peer": {true, 2}} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, n *network, a, b *end) {
				n.impair(func(_, _ netip.AddrPort, d []byte) [][]byte {
					if udp.Classify(d) == udp.Record {
						return nil
					}
					return [][]byte{d}
				})
				a.open(t, b, nil)
				b.open(t, a, nil)
				connectEnds(t, a, b)
				advance(3 * time.Second)
				source := netip.MustParseAddrPort("198.18.0.1:1")
				if from.peer {
					source = b.addr()
				}
				_, other := derivedKeys(t)
				forged := seal(t, &other.Send[0], record.AppendWhole(nil, uint8(Data), []byte{1}))
				binary.BigEndian.PutUint32(forged[1:], a.session.index)
				for range from.count {
					n.inject(source, a.addr(), forged)
				}
				if err := await(t, a.closed, "Closed"); !errors.Is(err, ErrTimeout) {
					t.Errorf("closed with %v, want %v", err, ErrTimeout)
				}
				if got := a.session.Info().Drops["record_forged"]; got != uint64(from.count) {
					t.Errorf("%d forged records counted, want %d", got, from.count)
				}
			})
		})
	}
}
