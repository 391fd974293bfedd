package session

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"evio/datapath/proof"
	"evio/datapath/record"
	"evio/datapath/session/connect"
	"evio/datapath/session/rekey"
)

// ordered returns the ends with the lower one first.
func ordered(a, b *end) (lower, higher *end) {
	ida, idb := a.id(), b.id()
	if string(ida[:]) < string(idb[:]) {
		return a, b
	}
	return b, a
}

// guess has the higher end do the handshake, take the tags of the lower for its guesses, and
// hang up.
func (e *end) guess(t *testing.T, lower *end, guesses ...string) {
	t.Helper()
	s := e.session
	peer, err := connect.ParseParameters(lower.own)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), connect.Timeout)
	defer cancel()
	paths := find(ctx, s, peer)
	defer paths.Stop()
	want := request{peer: peer, aead: record.AES128GCM, binding: bind(e, lower)}
	var at atomic.Pointer[boundPath]
	conn, err := newTaggedConn(s, want, &at)
	if err != nil {
		t.Fatal(err)
	}
	s.handshake.Store(conn)
	defer s.handshake.Store(nil)
	secure, err := dial(s, conn.Flights)
	if err != nil {
		t.Fatal(err)
	}
	found, err := paths.Wait(ctx)
	if err != nil {
		t.Fatal(err)
	}
	at.Store(pathOf(s, found))
	exporter, err := connect.Exporter(ctx, secure)
	if err != nil {
		t.Fatal(err)
	}
	prover, err := proof.New(false, secretsOf(guesses...)(), exporter, want.binding)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := secure.Write(prover.Say()); err != nil {
		t.Fatal(err)
	}
	tags := make([]byte, proof.MaxMessage)
	if n, err := secure.Read(tags); err != nil || n < 2 {
		t.Fatalf("instead of tags: %x, %v", tags[:n], err)
	}
	if err := secure.Close(); err != nil { // says close_notify
		t.Fatal(err)
	}
}

// TestGuesserHangsUp: however a session ends in which the peer has got the tags and proved
// nothing, its end reports a guess.
func TestGuesserHangsUp(t *testing.T) {
	t.Run("close_notify", func(t *testing.T) {
		inBubble(t, func(t *testing.T, _ *network, a, b *end) {
			a.open(t, b, func(o *Options) { o.Secrets = secretsOf("ours") })
			b.open(t, a, func(o *Options) { o.Secrets = secretsOf("ours") })
			lower, higher := ordered(a, b)
			if err := lower.session.Connect(higher.own, bind(a, b)); err != nil {
				t.Fatal(err)
			}
			higher.guess(t, lower, "guess1", "guess2")
			if err := await(t, lower.closed, "Closed"); !errors.Is(err, ErrUnproved) {
				t.Errorf("closed with %v, want %v", err, ErrUnproved)
			}
		})
	})
	for name, test := range map[string]struct {
		end  func(lower, higher *end)
		also error
	}{
		"closed here":             {func(lower, _ *end) { lower.session.Close() }, ErrClosed},
		"addresses here are new":  {func(lower, _ *end) { lower.session.end(ErrAddresses) }, ErrAddresses},
		"silence, then a timeout": {func(*end, *end) {}, ErrTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, n *network, a, b *end) {
				a.open(t, b, func(o *Options) { o.Secrets = secretsOf("ours") })
				b.open(t, a, func(o *Options) { o.Secrets = secretsOf("ours") })
				lower, higher := ordered(a, b)
				n.impair(func(from, _ netip.AddrPort, d []byte) [][]byte {
					if from == higher.addr() && lower.session.shown.Load() > 0 {
						return nil
					}
					return [][]byte{d}
				})
				connectEnds(t, a, b)
				for lower.session.shown.Load() == 0 {
					advance(10 * time.Millisecond)
				}
				test.end(lower, higher)
				if err := await(t, lower.closed, "Closed"); !errors.Is(err, ErrUnproved) || !errors.Is(err, test.also) {
					t.Errorf("closed with %v, want %v and %v", err, ErrUnproved, test.also)
				}
			})
		})
	}
}

// TestNoDoubtWithoutAGuess: ends that have proved a secret end their sessions and report no
// guesses.
func TestNoDoubtWithoutAGuess(t *testing.T) {
	inBubble(t, func(t *testing.T, _ *network, a, b *end) {
		var doubts atomic.Int32
		for i, e := range []*end{a, b} {
			e.transport.config.RekeyEvery = time.Minute
			e.open(t, []*end{b, a}[i], func(o *Options) {
				o.Secrets, o.Doubt = secretsOf("new", "old"), func() { doubts.Add(1) }
			})
		}
		connectEnds(t, a, b)
		await(t, a.established, "Established")
		await(t, b.established, "Established")
		advance(3 * time.Minute)
		if got := a.session.Info().Rekeys; got < 2 || doubts.Load() != 0 {
			t.Errorf("%d rekeys, %d doubts", got, doubts.Load())
		}
		a.session.Close()
		if err := await(t, a.closed, "Closed"); errors.Is(err, ErrUnproved) {
			t.Error(err)
		}
		if err := await(t, b.closed, "Closed"); errors.Is(err, ErrUnproved) {
			t.Error(err)
		}
	})
}

// TestGuessesByRekeys: a peer that has one of two secrets can test a guess of the other by a
// rekey, but not more often than the honest end replaces keys, and each guess is reported.
func TestGuessesByRekeys(t *testing.T) {
	for _, honestIsLower := range []bool{false, true} {
		t.Run(fmt.Sprintf("the lower end is honest: %v", honestIsLower), func(t *testing.T) {
			inBubble(t, func(t *testing.T, _ *network, a, b *end) {
				guesser, honest := ordered(a, b)
				if honestIsLower {
					guesser, honest = honest, guesser
				}
				var doubts atomic.Int32
				guesser.transport.config.RekeyEvery = 100 * time.Millisecond
				honest.transport.config.RekeyEvery = time.Hour
				guesses := 0
				guesser.open(t, honest, func(o *Options) {
					o.Secrets = func() []proof.Secret {
						guesses++
						return secretsOf(fmt.Sprint("guess", guesses), "old")()
					}
				})
				honest.open(t, guesser, func(o *Options) {
					o.Secrets, o.Doubt = secretsOf("new", "old"), func() { doubts.Add(1) }
				})
				connectEnds(t, a, b)
				await(t, a.established, "Established")
				await(t, b.established, "Established")
				const long = 10 * time.Minute
				for began := time.Now(); time.Since(began) < long; advance(100 * time.Millisecond) {
					if r := guesser.session.rekeyer.Load(); honestIsLower && r != nil {
						guesser.session.sendRekey(rekey.Message{Op: rekey.OpRequest, ID: uint32(guesser.session.Info().Rekeys)})
					}
				}
				rekeys := honest.session.Info().Rekeys
				if most := uint64(long/(rekey.MinInterval*3/4)) + 1; rekeys < 2 || rekeys > most {
					t.Errorf("%d rekeys in %v, want 2 to %d", rekeys, long, most)
				}
				if got := uint64(doubts.Load()); got != rekeys+1 {
					t.Errorf("%d doubts after the first handshake and %d more", got, rekeys)
				}
				guesser.session.Close()
				honest.session.Close()
			})
		})
	}
}

// TestRekeysLeftUndone: tags that a peer takes in a rekey, and proves nothing, count. The second
// time ends the session; the first is reported when the session ends, for whatever reason.
func TestRekeysLeftUndone(t *testing.T) {
	for _, times := range []int32{1, 2} {
		inBubble(t, func(t *testing.T, n *network, a, b *end) {
			a.open(t, b, func(o *Options) { o.Secrets = secretsOf("new", "old") })
			b.open(t, a, func(o *Options) { o.Secrets = secretsOf("new", "old") })
			lower, higher := ordered(a, b)
			for _, e := range []*end{a, b} {
				e.transport.config.RekeyEvery = 10 * time.Second
			}
			connectEnds(t, a, b)
			await(t, a.established, "Established")
			await(t, b.established, "Established")
			var left atomic.Int32
			n.impair(func(from, _ netip.AddrPort, d []byte) [][]byte {
				if from == higher.addr() && ofRekey(d) && lower.session.shown.Load() > left.Load() {
					return nil
				}
				return [][]byte{d}
			})
			for left.Load() < times {
				for lower.session.shown.Load() == left.Load() {
					advance(100 * time.Millisecond)
				}
				before := lower.session.Info().Rekeys
				advance(rekey.HandshakeTimeout + time.Second)
				if got := lower.session.Info().Rekeys; got != before {
					t.Fatalf("the rekey was done: %d", got)
				}
				left.Add(1)
			}
			n.impair(nil)
			if times == 1 {
				for began, before := time.Now(), lower.session.Info().Rekeys; lower.session.Info().Rekeys == before; advance(time.Second) {
					if time.Since(began) > 2*rekey.RetryInterval {
						t.Fatal("keys are not replaced after that")
					}
				}
				lower.session.Close()
			}
			if err := await(t, lower.closed, "Closed"); !errors.Is(err, ErrUnproved) || errors.Is(err, ErrClosed) != (times == 1) {
				t.Errorf("left %d times: closed with %v, want %v", times, err, ErrUnproved)
			}
		})
	}
}

// TestProofAfterOneLeftUndone: a peer that leaves one handshake undone after it got the tags,
// and proves a secret in the next, is reported.
func TestProofAfterOneLeftUndone(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network, a, b *end) {
		lower, higher := ordered(a, b)
		var doubts atomic.Int32
		lower.open(t, higher, func(o *Options) { o.Secrets, o.Doubt = secretsOf("new", "old"), func() { doubts.Add(1) } })
		higher.open(t, lower, func(o *Options) { o.Secrets = secretsOf("old") })
		n.impair(func(from, _ netip.AddrPort, d []byte) [][]byte {
			if from == higher.addr() && lower.session.shown.Load() > 0 {
				return nil
			}
			return [][]byte{d}
		})
		connectEnds(t, a, b)
		for lower.session.shown.Load() == 0 {
			advance(10 * time.Millisecond)
		}
		again := bind(a, b)
		again[0]++ // newer parameters
		for i, e := range []*end{a, b} {
			if err := e.session.Connect([]*end{b, a}[i].own, again); err != nil {
				t.Fatal(err)
			}
		}
		n.impair(nil)
		await(t, a.established, "Established")
		await(t, b.established, "Established")
		if doubts.Load() != 1 {
			t.Errorf("%d doubts, want 1", doubts.Load())
		}
		lower.session.Close()
		if err := await(t, lower.closed, "Closed"); errors.Is(err, ErrUnproved) {
			t.Error(err)
		}
	})
}

// TestRefusalOutlivesItsRekey: a peer that is refused and begins a further rekey before that is
// noticed gains nothing by it.
func TestRefusalOutlivesItsRekey(t *testing.T) {
	r := &rekeyer{session: &Session{transport: &Transport{epoch: time.Now()}}, lapse: rekey.Never}
	r.handshake = &rekeyHandshake{Flights: connect.NewFlights(nil), ended: make(chan rekeyResult, 1), cancel: func() {}, done: make(chan struct{})}
	close(r.handshake.done)
	r.handshake.ended <- rekeyResult{err: fmt.Errorf("%w: it has none", ErrSecret)}
	r.stop()
	if r.lapse == rekey.Never || !errors.Is(r.refused, ErrSecret) {
		t.Errorf("the session goes on: %v, %v", r.lapse, r.refused)
	}
}
