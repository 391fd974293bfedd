package session

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// establishMany opens n overlays between two nodes at once and establishes them.
func establishMany(t *testing.T, a, b *end, n int) (as, bs []end) {
	t.Helper()
	as, bs = make([]end, n), make([]end, n)
	for i := range n {
		as[i], bs[i] = *a, *b
		name := func(o *Options) { o.Overlay = fmt.Sprint("overlay ", i) }
		as[i].open(t, b, name)
		bs[i].open(t, a, name)
	}
	for i := range n {
		connectEnds(t, &as[i], &bs[i])
	}
	for i := range n {
		await(t, as[i].established, "Established")
		await(t, bs[i].established, "Established")
	}
	return as, bs
}

func TestTwentySessionsAtOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, _ *network, a, b *end) {
		as, bs := establishMany(t, a, b, 20)
		for i := range as {
			if err := as[i].session.Send(Data, [][]byte{bytes.Repeat([]byte{byte(i)}, 2000)}); err != nil {
				t.Fatal(err)
			}
		}
		for i := range bs {
			if got := bs[i].frames(t, 1); !bytes.Equal(got[0], bytes.Repeat([]byte{byte(i)}, 2000)) {
				t.Errorf("overlay %d received what is another's", i)
			}
		}
		synctest.Wait()
		advance(5 * time.Second)
		stats := a.transport.Stats()
		if stats.Sessions["established"] != 20 || stats.Agents != 0 {
			t.Errorf("sessions %v and %d agents, want 20 established and none", stats.Sessions, stats.Agents)
		}
		for i := range as {
			info := bs[i].session.Info()
			if info.RxFrames != 1 || info.Drops["record_forged"]+info.Drops["handshake_tag"] != 0 {
				t.Errorf("overlay %d: %d frames, drops %v, want one frame and nothing of another overlay", i, info.RxFrames, info.Drops)
			}
			as[i].session.Close()
		}
		for i := range as {
			if err := await(t, as[i].closed, "Closed"); !errors.Is(err, ErrClosed) {
				t.Errorf("closed with %v, want %v", err, ErrClosed)
			}
			if err := await(t, bs[i].closed, "Closed"); !errors.Is(err, ErrPeerClosed) {
				t.Errorf("peer closed with %v, want %v", err, ErrPeerClosed)
			}
			as[i].check(t)
			bs[i].check(t)
		}
		if stats := b.transport.Stats(); len(stats.Sessions) != 0 {
			t.Errorf("sessions %v after all are closed, want none", stats.Sessions)
		}
	})
}

func TestTwentySessionsOverRealSockets(t *testing.T) {
	a, b := newLoopbackEnd(t), newLoopbackEnd(t)
	as, bs := establishMany(t, a, b, 20)
	for i := range as {
		as[i].session.Close()
		as[i].waitClosed(t)
		bs[i].waitClosed(t)
	}
}

// TestConnectAgainAtAllStages: one end signs its parameters anew after the
// other has begun with the older ones, and both get everything twice. The
// newest count, and the session is established once.
func TestConnectAgainAtAllStages(t *testing.T) {
	for gap := time.Duration(0); gap < 500*time.Millisecond; gap += 5 * time.Millisecond {
		inBubble(t, func(t *testing.T, _ *network, a, b *end) {
			deliver := func(e, peer *end, binding [32]byte) {
				t.Helper()
				if err := e.session.Connect(peer.own, binding); err != nil && !errors.Is(err, ErrEstablished) {
					t.Fatal(err)
				}
			}
			a.open(t, b, nil)
			b.open(t, a, nil)
			older, newer := bind(a, b), sha256.Sum256([]byte("signed anew"))
			deliver(b, a, older)
			deliver(b, a, older)
			advance(gap / 2)
			deliver(a, b, newer)
			advance(gap / 2)
			deliver(b, a, newer)
			deliver(a, b, newer)
			advance(gap / 10)
			deliver(b, a, newer)
			advance(3 * time.Second)
			for _, e := range []*end{a, b} {
				if state := e.session.State(); state != Established {
					t.Errorf("gap %v: session is %v, want established", gap, state)
				}
				if n := len(e.established); n != 1 {
					t.Errorf("gap %v: Established was called %d times, want once", gap, n)
				}
			}
		})
	}
}
