package session

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"evio/datapath/record"
	"evio/datapath/session/connect"
	"evio/datapath/session/path"
	"evio/datapath/udp"
)

func TestEstablishesWithinRoundTrips(t *testing.T) {
	inBubble(t, func(t *testing.T, _ *network, a, b *end) {
		began := time.Now()
		establish(t, a, b)
		if took := time.Since(began); took > 500*time.Millisecond {
			t.Errorf("established after %v at 20 ms round trip, want at most 500 ms", took)
		}
		synctest.Wait()
		if agents := a.transport.Stats().Agents + b.transport.Stats().Agents; agents != 0 {
			t.Errorf("%d ICE agents are left, want 0", agents)
		}
	})
}

func TestEverythingSentIsSTUNHandshakeOrRecord(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network, a, b *end) {
		establish(t, a, b)
		advance(n.delay + 2*path.BurstInterval) // the answers to the last checks
		settled := len(n.sent())
		if err := a.session.Send(Data, [][]byte{make([]byte, 9000)}); err != nil {
			t.Fatal(err)
		}
		advance(10 * time.Second)
		for i, d := range n.sent() {
			class := udp.Classify(d)
			if class == udp.Unknown {
				t.Errorf("datagram begins with %d", d[0])
			}
			if len(d) > record.MaxSize {
				t.Errorf("datagram has %d bytes, at most %d are allowed", len(d), record.MaxSize)
			}
			if i >= settled && class != udp.Record {
				t.Errorf("%v datagram on an established session, want records only", class)
			}
		}
	})
}

func TestLostFlightsHeal(t *testing.T) {
	for _, loss := range []float64{0.1, 0.3} {
		inBubble(t, func(t *testing.T, n *network, a, b *end) {
			random := rand.New(rand.NewPCG(1, uint64(loss*100)))
			n.impair(func(_, _ netip.AddrPort, d []byte) [][]byte {
				if random.Float64() < loss {
					return nil
				}
				return [][]byte{d}
			})
			establish(t, a, b)
		})
	}
}

func TestReorderedAndRepeatedDatagramsDoNoHarm(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network, a, b *end) {
		n.impair(func(from, to netip.AddrPort, d []byte) [][]byte {
			again := bytes.Clone(d)
			time.AfterFunc(35*time.Millisecond, func() { n.inject(from, to, again) })
			return [][]byte{d, bytes.Clone(d)}
		})
		establish(t, a, b)
		frame := bytes.Repeat([]byte{7}, 5000)
		if err := a.session.Send(Data, [][]byte{frame}); err != nil {
			t.Fatal(err)
		}
		if got := b.frames(t, 1); !bytes.Equal(got[0], frame) {
			t.Error("frame was changed")
		}
		advance(time.Second)
		if extra := len(b.received); extra != 0 {
			t.Errorf("frame was delivered %d times more", extra)
		}
		if b.session.Info().Drops["record_replayed"] == 0 {
			t.Error("replays were not counted")
		}
	})
}

func TestCutPathIsNoticed(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network, a, b *end) {
		establish(t, a, b)
		advance(7 * time.Second)
		n.impair(func(_, _ netip.AddrPort, _ []byte) [][]byte { return nil })
		cut := time.Now()
		for _, e := range []*end{a, b} {
			if err := await(t, e.closed, "Closed"); !errors.Is(err, ErrPeerDead) {
				t.Errorf("closed with %v, want %v", err, ErrPeerDead)
			}
			if took := time.Since(cut); took > 4*time.Second || took < time.Second {
				t.Errorf("noticed after %v, want 1 s to 4 s", took)
			}
		}
	})
}

func TestShortOutageIsSurvived(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network, a, b *end) {
		establish(t, a, b)
		for range 20 {
			n.impair(func(_, _ netip.AddrPort, _ []byte) [][]byte { return nil })
			advance(time.Second)
			n.impair(nil)
			advance(2 * time.Second)
		}
		for _, e := range []*end{a, b} {
			if state := e.session.State(); state != Established {
				t.Errorf("session is %v after outages of one second, want established", state)
			}
		}
	})
}

func TestIdleSessionIsFrugal(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network, a, b *end) {
		establish(t, a, b)
		before := len(n.sent())
		const idle = 100 * time.Second
		advance(idle)
		var bytes int
		sent := n.sent()[before:]
		for _, d := range sent {
			bytes += len(d) + 48
		}
		// Both directions of 24 sessions of a node stay under 4 KB/s.
		if rate := float64(bytes) / idle.Seconds() * 24; rate > 8000 {
			t.Errorf("24 idle sessions take %.0f B/s both ways together, want at most 8000", rate)
		}
	})
}

func TestWrongKeyNeverEstablishes(t *testing.T) {
	inBubble(t, func(t *testing.T, _ *network, a, b *end) {
		other := newKey(t).Public().(ed25519.PublicKey)
		a.open(t, b, func(o *Options) { o.RemoteKey = other })
		b.open(t, a, nil)
		connectEnds(t, a, b)
		if err := await(t, a.closed, "Closed"); !errors.Is(err, connect.ErrIdentity) {
			t.Errorf("closed with %v, want %v", err, connect.ErrIdentity)
		}
		b.waitClosed(t)
		if len(a.established)+len(b.established) != 0 {
			t.Error("was established")
		}
	})
}

func TestForeignBindingNeverEstablishes(t *testing.T) {
	inBubble(t, func(t *testing.T, _ *network, a, b *end) {
		a.open(t, b, nil)
		b.open(t, a, nil)
		if err := a.session.Connect(b.own, bind(a, b)); err != nil {
			t.Fatal(err)
		}
		tampered := bind(a, b)
		tampered[31] ^= 1
		if err := b.session.Connect(a.own, tampered); err != nil {
			t.Fatal(err)
		}
		for _, e := range []*end{a, b} {
			if err := await(t, e.closed, "Closed"); !errors.Is(err, ErrTimeout) {
				t.Errorf("closed with %v, want %v", err, ErrTimeout)
			}
			if len(e.established) != 0 {
				t.Error("was established")
			}
		}
		if a.session.Info().Drops["handshake_tag"]+b.session.Info().Drops["handshake_tag"] == 0 {
			t.Error("refused handshake datagrams were not counted")
		}
	})
}

func TestForeignSecretNeverEstablishes(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network, a, b *end) {
		a.open(t, b, func(o *Options) { o.Secrets = secretsOf("ours") })
		b.open(t, a, func(o *Options) { o.Secrets = secretsOf("theirs") })
		connectEnds(t, a, b)
		for _, e := range []*end{a, b} {
			if err := await(t, e.closed, "Closed"); !errors.Is(err, ErrSecret) || errors.Is(err, ErrTimeout) {
				t.Errorf("closed with %v, want %v", err, ErrSecret)
			}
		}
		for _, d := range n.sent() {
			if udp.Classify(d) == udp.Record {
				t.Error("a record was sent under a secret that nobody had proved")
			}
		}
	})
}

func TestPeerThatDoesNotConnectTimesOut(t *testing.T) {
	inBubble(t, func(t *testing.T, _ *network, a, b *end) {
		a.open(t, b, nil)
		b.open(t, a, nil)
		began := time.Now()
		if err := a.session.Connect(b.own, bind(a, b)); err != nil {
			t.Fatal(err)
		}
		if err := await(t, a.closed, "Closed"); !errors.Is(err, ErrTimeout) {
			t.Errorf("closed with %v, want %v", err, ErrTimeout)
		}
		if took := time.Since(began).Round(time.Second); took != 15*time.Second {
			t.Errorf("closed after %v, want 15 s", took)
		}
	})
}

func TestLateConnectOfOneEnd(t *testing.T) {
	inBubble(t, func(t *testing.T, _ *network, a, b *end) {
		a.open(t, b, nil)
		b.open(t, a, nil)
		if err := a.session.Connect(b.own, bind(a, b)); err != nil {
			t.Fatal(err)
		}
		advance(9 * time.Second)
		if err := b.session.Connect(a.own, bind(a, b)); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		await(t, a.established, "Established")
		await(t, b.established, "Established")
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("established %v after the later end, want at most 2 s", took)
		}
	})
}

func TestConnectAgainWithNewerParameters(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network, a, b *end) {
		a.open(t, b, nil)
		b.open(t, a, nil)
		stale := b.own
		staleBinding := bind(a, b)
		b.session.Close()
		b.open(t, a, nil) // the peer has restarted
		if err := a.session.Connect(stale, staleBinding); err != nil {
			t.Fatal(err)
		}
		advance(3 * time.Second)
		connectEnds(t, a, b)
		await(t, a.established, "Established")
		await(t, b.established, "Established")
		if err := a.session.Connect(b.own, bind(a, b)); !errors.Is(err, ErrEstablished) {
			t.Errorf("Connect of an established session: %v, want %v", err, ErrEstablished)
		}
		_ = n
	})
}

func TestForgedDatagramsTearNothingDown(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network, a, b *end) {
		random := rand.New(rand.NewPCG(3, 4))
		n.impair(func(_, _ netip.AddrPort, d []byte) [][]byte {
			// A stranger that reads along answers each datagram with changed
			// copies of it, ahead of the datagram itself.
			var all [][]byte
			for range 4 {
				forged := bytes.Clone(d)
				forged[len(forged)-1-random.IntN(len(forged)/2)] ^= byte(1 + random.IntN(255))
				all = append(all, forged)
			}
			if udp.Classify(d) == udp.Handshake {
				alert := append(bytes.Clone(d[:connect.HandshakeHeader]), 21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 9, 0, 2, 2, 40)
				all = append(all, alert)
			}
			return append(all, d)
		})
		establish(t, a, b)
		advance(time.Minute)
		for _, e := range []*end{a, b} {
			if state := e.session.State(); state != Established {
				t.Errorf("session is %v, want established", state)
			}
			drops := e.session.Info().Drops
			if drops["record_forged"] == 0 || drops["handshake_tag"] == 0 {
				t.Errorf("drops = %v, want forged records and handshake datagrams counted", drops)
			}
		}
	})
}

func TestRecordsFromElsewhereAreDeliveredButDoNotMoveThePath(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network, a, b *end) {
		establish(t, a, b)
		elsewhere := netip.MustParseAddrPort("198.51.100.9:9")
		n.impair(func(from, to netip.AddrPort, d []byte) [][]byte {
			if to == b.addr() && from != elsewhere {
				n.injectLocked(elsewhere, to, d)
				return nil
			}
			return [][]byte{d}
		})
		if err := a.session.Send(Data, [][]byte{{1, 2, 3}}); err != nil {
			t.Fatal(err)
		}
		b.frames(t, 1)
		info := b.session.Info()
		if info.OffPath == 0 {
			t.Error("records from elsewhere were not counted")
		}
		if info.Remote != a.addr() {
			t.Errorf("path leads to %v, want %v", info.Remote, a.addr())
		}
		if err := b.session.Send(Data, [][]byte{{4}}); err != nil {
			t.Fatal(err)
		}
		a.frames(t, 1)
	})
}

func TestStrangersGetNoAnswer(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network, a, b *end) {
		a.open(t, b, nil)
		stranger := netip.MustParseAddrPort("203.0.113.7:7")
		before := len(n.sent())
		handshake := append([]byte{udp.FirstHandshake}, make([]byte, 60)...)
		binary.BigEndian.PutUint32(handshake[1:], a.session.index)
		hello := []byte{22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 10} // a bare ClientHello's first bytes
		unknown := append([]byte{udp.FirstRecord}, make([]byte, 60)...)
		early := bytes.Clone(unknown)
		binary.BigEndian.PutUint32(early[1:], a.session.index)
		for _, d := range [][]byte{{}, {192}, {193}, handshake, hello, unknown, early, {0, 1}} {
			n.inject(stranger, a.addr(), d)
		}
		advance(time.Second)
		if sent := len(n.sent()) - before; sent != 0 {
			t.Errorf("%d datagrams were sent in answer, want none", sent)
		}
		drops := a.transport.Stats().Drops
		for _, cause := range []string{"unclassified", "handshake_short", "record_short", "record_index", "stun_malformed"} {
			if drops[cause] == 0 {
				t.Errorf("drops = %v, want %s counted", drops, cause)
			}
		}
		own := a.session.Info().Drops
		if own["handshake_index"] == 0 || own["record_keys"] == 0 {
			t.Errorf("drops of the session = %v, want handshake_index and record_keys counted", own)
		}
	})
}

func TestCallsOutOfPlace(t *testing.T) {
	inBubble(t, func(t *testing.T, _ *network, a, b *end) {
		a.open(t, b, nil)
		b.open(t, a, nil)
		if err := a.session.Send(Data, [][]byte{{1}}); !errors.Is(err, ErrNotEstablished) {
			t.Errorf("Send before keys: %v, want %v", err, ErrNotEstablished)
		}
		if err := a.session.Connect([]byte{9}, [32]byte{}); err == nil {
			t.Error("Connect took parameters of an unknown format")
		}
		newer, err := connect.ParseParameters(b.own)
		if err != nil {
			t.Fatal(err)
		}
		newer.MinVersion, newer.MaxVersion = 7, 9
		err = a.session.Connect(newer.Append(nil), [32]byte{})
		if err == nil || !strings.Contains(err.Error(), "2–2") || !strings.Contains(err.Error(), "7–9") {
			t.Errorf("Connect without a common version: %v, want one sentence that names both", err)
		}
		connectEnds(t, a, b)
		await(t, a.established, "Established")
		await(t, b.established, "Established")
		if err := a.session.Send(Probe, [][]byte{{1}}); !errors.Is(err, ErrKind) {
			t.Errorf("Send of a probe: %v, want %v", err, ErrKind)
		}
		for _, size := range []int{0, MaxControl + 1} {
			if err := a.session.Send(Control, [][]byte{make([]byte, size)}); !errors.Is(err, ErrFrameSize) {
				t.Errorf("Send of %d bytes of control: %v, want %v", size, err, ErrFrameSize)
			}
		}
		a.session.Close()
		a.session.Close()
		a.waitClosed(t)
		if err := a.session.Connect(b.own, bind(a, b)); !errors.Is(err, ErrClosed) {
			t.Errorf("Connect of a closed session: %v, want %v", err, ErrClosed)
		}
		if err := a.session.Send(Data, [][]byte{{1}}); !errors.Is(err, ErrNotEstablished) {
			t.Errorf("Send on a closed session: %v, want %v", err, ErrNotEstablished)
		}
	})
}

func TestKindsArriveAsSent(t *testing.T) {
	inBubble(t, func(t *testing.T, _ *network, a, b *end) {
		establish(t, a, b)
		for _, kind := range []Kind{Data, Flood, Control, Envelope} {
			frame := bytes.Repeat([]byte{byte(kind)}, MaxControl)
			if err := b.session.Send(kind, [][]byte{frame, {byte(kind)}}); err != nil {
				t.Fatal(err)
			}
			for _, want := range [][]byte{frame, {byte(kind)}} {
				got := await(t, a.received, "frame")
				if got.kind != kind || !bytes.Equal(got.frames[0], want) {
					t.Errorf("got %v of %d bytes, want %v of %d", got.kind, len(got.frames[0]), kind, len(want))
				}
			}
		}
	})
}

func TestCloseWhileGatheringConnectingAndEstablished(t *testing.T) {
	inBubble(t, func(t *testing.T, _ *network, a, b *end) {
		a.open(t, b, nil)
		b.open(t, a, nil)
		a.session.Close()
		a.waitClosed(t)

		a.open(t, b, nil)
		connectEnds(t, a, b)
		advance(45 * time.Millisecond) // into the midst of the checks
		a.session.Close()
		b.session.Close()
		a.waitClosed(t)
		b.waitClosed(t)
		if len(a.transport.Stats().Sessions) != 0 {
			t.Errorf("sessions = %v, want none", a.transport.Stats().Sessions)
		}
	})
}

func TestTransportCloseEndsSessions(t *testing.T) {
	inBubble(t, func(t *testing.T, _ *network, a, b *end) {
		establish(t, a, b)
		if err := a.transport.Close(); err != nil {
			t.Fatal(err)
		}
		if err := await(t, a.closed, "Closed"); !errors.Is(err, ErrClosed) {
			t.Errorf("closed with %v, want %v", err, ErrClosed)
		}
		if err := await(t, b.closed, "Closed"); !errors.Is(err, ErrPeerClosed) {
			t.Errorf("peer closed with %v, want %v", err, ErrPeerClosed)
		}
		if _, err := a.transport.Open(Options{
			Remote: b.id(), RemoteKey: b.public(), Handler: newRecorder(),
		}); !errors.Is(err, ErrClosed) {
			t.Errorf("Open after Close: %v, want %v", err, ErrClosed)
		}
	})
}
